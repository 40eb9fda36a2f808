package ops

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// criURL is what requests to a container runtime begin with, for machines that have their own way to servers.
const criURL = "http://cri"

// errNoCRI is a runtime that answers, but has nothing for kubelets.
var errNoCRI = errors.New("the runtime came up without its interface for kubelets; its log says why")

// criDriver asks a container runtime for its cgroup driver, as the kubelet does: a gRPC call without fields, which is one HTTP/2 request whose body is an
// empty message. A client for gRPC would make the agent half as large again.
func criDriver(ctx context.Context, m Machine, socket string) (string, error) {
	const method = "/runtime.v1.RuntimeService/RuntimeConfig"
	rt := unixTransport(m, socket)
	if t, ok := rt.(*http.Transport); ok {
		t.Protocols = new(http.Protocols)
		t.Protocols.SetUnencryptedHTTP2(true)
		defer t.CloseIdleConnections()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, criURL+method, bytes.NewReader(make([]byte, 5)))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("TE", "trailers")
	resp, err := (&http.Client{Transport: rt}).Do(req)
	if err != nil {
		return "", fmt.Errorf("%s: %w", socket, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return "", fmt.Errorf("%s: %w", socket, err)
	}
	// A call that fails at once has its status among the headers.
	for _, h := range []http.Header{resp.Header, resp.Trailer} {
		switch status := h.Get("Grpc-Status"); status {
		case "", "0":
		case "12": // Unimplemented: what a runtime can do is settled before it answers anybody
			return "", fmt.Errorf("%s: %w: %s", socket, errNoCRI, h.Get("Grpc-Message"))
		default:
			return "", fmt.Errorf("%s: %s", socket, h.Get("Grpc-Message"))
		}
	}
	if resp.StatusCode != http.StatusOK || len(body) < 5 || body[0] != 0 || int(binary.BigEndian.Uint32(body[1:5])) != len(body)-5 {
		return "", fmt.Errorf("%s: the answer is not that of a container runtime (%s)", socket, resp.Status)
	}
	return runtimeConfig(body[5:])
}

// runtimeConfig reads a RuntimeConfigResponse: field 1 is what is peculiar to Linux, and its field 1 the driver, of which 0 is left out.
func runtimeConfig(message []byte) (string, error) {
	linux, _, found, err := protoField(message, 1)
	if err != nil {
		return "", err
	}
	if !found {
		return "", errors.New("the runtime does not say which cgroup driver it has")
	}
	_, driver, _, err := protoField(linux, 1)
	if err != nil {
		return "", err
	}
	switch driver {
	case 0:
		return "systemd", nil
	case 1:
		return "cgroupfs", nil
	}
	return "", fmt.Errorf("the runtime has a cgroup driver with the number %d", driver)
}

// protoField finds a field of a message, the last where there are several: its bytes, or its number.
func protoField(message []byte, want uint64) (data []byte, number uint64, found bool, err error) {
	broken := errors.New("the runtime's answer cannot be read")
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		if n <= 0 {
			return nil, 0, false, broken
		}
		message = message[n:]
		value, n := binary.Uvarint(message)
		if n <= 0 {
			return nil, 0, false, broken
		}
		message = message[n:]
		var inside []byte
		switch tag & 7 {
		case 0:
		case 2:
			if value > uint64(len(message)) {
				return nil, 0, false, broken
			}
			inside, message = message[:value], message[value:]
		default:
			return nil, 0, false, broken
		}
		if tag>>3 == want {
			data, number, found = inside, value, true
		}
	}
	return data, number, found, nil
}
