// Package errors stands in for the Tencent Cloud SDK, which the flannel image is built without.
package errors

// TencentCloudSDKError is what every call of the stand-in fails with.
type TencentCloudSDKError struct{}

// Error says why.
func (*TencentCloudSDKError) Error() string {
	return "this flannel was built without the Tencent Cloud SDK: the tencent-vpc backend cannot be used"
}
