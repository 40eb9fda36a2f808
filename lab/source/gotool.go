package source

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"slices"
)

// userSettings are those of the user's Go settings that a build has: where modules come from, who vouches for them, and
// where everything is kept.
var userSettings = []string{"GOPROXY", "GOSUMDB", "GOMODCACHE", "GOCACHE", "GOPATH"}

// askGo finds out Go's version and the user's settings: those of the environment, and those that go env -w has kept.
func (b *builder) askGo(ctx context.Context) error {
	// The version is that of the toolchain that builds, which no go.mod and no setting may change.
	env := append(os.Environ(), "GOTOOLCHAIN=local")
	out, err := run(ctx, b.cache, env, append([]string{"go", "env", "-json", "GOVERSION"}, userSettings...)...)
	if err != nil {
		return err
	}
	var is map[string]string
	if err := json.Unmarshal(out, &is); err != nil {
		return err
	}
	if is["GOSUMDB"] == "off" || is["GOSUMDB"] == "" {
		return errors.New("the checksum database is off (GOSUMDB): nothing would vouch for the modules; turn it on")
	}
	b.goVersion = is["GOVERSION"]
	for _, name := range userSettings {
		b.goSettings = append(b.goSettings, name+"="+is[name])
	}
	return nil
}

// toolVariable is a variable that the go tool, or a compiler that it starts, takes a setting from.
var toolVariable = regexp.MustCompile(`^(GO|CGO_|(CC|CXX|AR|PKG_CONFIG)=)`)

// goEnv is the environment the go tool has in a build: what the user has set changes neither what comes out, nor for which
// modules the checksum database is asked.
func (b *builder) goEnv(cgo bool) []string {
	env := slices.DeleteFunc(os.Environ(), toolVariable.MatchString)
	env = append(env, b.goSettings...)
	// An empty variable is no setting to Go, which then looks into the file go.env of its own folder. The name none is no
	// module's.
	env = append(env, "GOENV=off", "GOTOOLCHAIN=local", "GOWORK=off", "GOFLAGS=-mod=mod",
		"GOPRIVATE=none", "GONOPROXY=none", "GONOSUMDB=none", "GOINSECURE=none",
		"GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "GOEXPERIMENT=")
	if cgo {
		return append(env, "CGO_ENABLED=1")
	}
	return append(env, "CGO_ENABLED=0")
}
