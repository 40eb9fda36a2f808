package verify

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// The channels of a command's WebSocket, as in k8s.io/apimachinery/pkg/util/remotecommand.
const (
	execProtocol = "v5.channel.k8s.io"
	chanStdin    = 0
	chanStdout   = 1
	chanStderr   = 2
	chanStatus   = 3
	chanClose    = 255
)

// chunk is how much of a command's input one message carries. It must not be more than the connection's buffer: the API server does not put frames of one
// message together.
const chunk = 32 << 10

// most is how much of a command's output is read.
const most = 1 << 20

// exitError is a command that ran in a container and ended with another status than 0.
type exitError struct {
	argv   []string
	code   int
	stderr string
}

func (e *exitError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("%s ended with %d: %s", line(e.argv), e.code, strings.TrimSpace(e.stderr)))
}

// line is a command as people read it, without what is too much of it.
func line(argv []string) string {
	const longest = 120
	text := strings.Join(argv, " ")
	if len(text) > longest {
		text = text[:longest] + "..."
	}
	return text
}

// exec runs a command in a container. It is a WebSocket as kubectl makes one, but over the cluster's own way to the API: client-go's does not take one.
func (e *Env) exec(ctx context.Context, namespace, pod, container string, stdin []byte, argv ...string) (string, error) {
	out, err := e.execOnce(ctx, namespace, pod, container, stdin, argv)
	var exit *exitError
	if err != nil && !errors.As(err, &exit) {
		err = fmt.Errorf("exec in %s: %w", pod, err)
	}
	return out, err
}

func (e *Env) execOnce(ctx context.Context, namespace, pod, container string, stdin []byte, argv []string) (string, error) {
	options := &corev1.PodExecOptions{Container: container, Command: argv, Stdin: stdin != nil, Stdout: true, Stderr: true}
	at := e.Client.CoreV1().RESTClient().Get().Namespace(namespace).Resource("pods").Name(pod).SubResource("exec").
		VersionedParams(options, scheme.ParameterCodec).URL()
	at.Scheme = "wss"
	config, err := rest.TLSConfigFor(e.Config)
	if err != nil {
		return "", err
	}
	dialer := websocket.Dialer{NetDialContext: e.Config.Dial, TLSClientConfig: http1(config), Subprotocols: []string{execProtocol}, WriteBufferSize: chunk + 1024}
	ws, answer, err := dialer.DialContext(ctx, at.String(), nil)
	if err != nil {
		return "", refused(answer, err)
	}
	defer ws.Close()
	defer context.AfterFunc(ctx, func() { ws.Close() })()
	if stdin != nil {
		// Beside the reading, as a command may write before it has read everything.
		go func() {
			for part := range slices.Chunk(stdin, chunk) {
				if ws.WriteMessage(websocket.BinaryMessage, append([]byte{chanStdin}, part...)) != nil {
					return // so does the reading end
				}
			}
			_ = ws.WriteMessage(websocket.BinaryMessage, []byte{chanClose, chanStdin})
		}()
	}
	var stdout, stderr bytes.Buffer
	for {
		_, message, err := ws.ReadMessage()
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return stdout.String(), fmt.Errorf("%s: %w", line(argv), err)
		}
		if len(message) == 0 || stdout.Len()+stderr.Len() > most {
			continue
		}
		switch message[0] {
		case chanStdout:
			stdout.Write(message[1:])
		case chanStderr:
			stderr.Write(message[1:])
		case chanStatus:
			return stdout.String(), outcome(argv, message[1:], stderr.String())
		}
	}
}

// outcome reads how a command ended.
func outcome(argv []string, raw []byte, stderr string) error {
	var status metav1.Status
	if err := json.Unmarshal(raw, &status); err != nil {
		return fmt.Errorf("%s: how it ended cannot be read: %w", argv[0], err)
	}
	if status.Status == metav1.StatusSuccess {
		return nil
	}
	if status.Reason == "NonZeroExitCode" && status.Details != nil {
		for _, c := range status.Details.Causes {
			if code, err := strconv.Atoi(c.Message); err == nil && c.Type == "ExitCode" {
				return &exitError{argv, code, stderr}
			}
		}
	}
	return fmt.Errorf("%s: %s", argv[0], status.Message)
}

// refused says why there is no stream, in the API server's own words where it said something.
func refused(answer *http.Response, err error) error {
	if answer == nil {
		return err
	}
	defer answer.Body.Close()
	raw, _ := io.ReadAll(io.LimitReader(answer.Body, 4096))
	var status metav1.Status
	if json.Unmarshal(raw, &status) == nil && status.Message != "" {
		return errors.New(status.Message)
	}
	return fmt.Errorf("%s: %s", answer.Status, strings.TrimSpace(string(raw)))
}

// http1 is the configuration without HTTP/2, over which nothing can be upgraded.
func http1(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.NextProtos = []string{"http/1.1"}
	return c
}

// through connects to a port of a pod through the API server, as kubectl port-forward does it.
func (e *Env) through(ctx context.Context, namespace, pod string, port int) (net.Conn, error) {
	at := e.Client.CoreV1().RESTClient().Post().Namespace(namespace).Resource("pods").Name(pod).SubResource("portforward").URL()
	config, err := rest.TLSConfigFor(e.Config)
	if err != nil {
		return nil, err
	}
	upgrade, err := spdy.NewRoundTripperWithConfig(spdy.RoundTripperConfig{
		UpgradeTransport: &http.Transport{DialContext: e.Config.Dial, TLSClientConfig: http1(config)},
	})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set(httpstream.HeaderProtocolVersion, "portforward.k8s.io")
	answer, err := upgrade.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("port-forward to %s: %w", pod, err)
	}
	defer answer.Body.Close()
	conn, err := upgrade.NewConnection(answer)
	if err != nil {
		return nil, fmt.Errorf("port-forward to %s: %w", pod, err)
	}
	headers := http.Header{}
	headers.Set(corev1.PortHeader, strconv.Itoa(port))
	headers.Set(corev1.PortForwardRequestIDHeader, "0")
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	wrong, err := conn.CreateStream(headers)
	if err != nil {
		conn.Close()
		return nil, err
	}
	_ = wrong.Close() // nothing is written there
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := conn.CreateStream(headers)
	if err != nil {
		conn.Close()
		return nil, err
	}
	f := &forwarded{Stream: data, conn: conn, pod: pod}
	f.undo = context.AfterFunc(ctx, func() { conn.Close() })
	go func() { // the kubelet says there why nobody listens
		if said, _ := io.ReadAll(io.LimitReader(wrong, 4096)); len(said) > 0 {
			f.said.Store(new(strings.TrimSpace(string(said))))
			conn.Close()
		}
	}()
	return f, nil
}

// forwarded is one connection to a port of a pod. It ends with the context that it was made with; deadlines it has none.
type forwarded struct {
	httpstream.Stream
	conn httpstream.Connection
	pod  string
	said atomic.Pointer[string]
	undo func() bool
}

func (f *forwarded) Read(b []byte) (int, error) {
	n, err := f.Stream.Read(b)
	if said := f.said.Load(); said != nil && err != nil {
		err = fmt.Errorf("port-forward to %s: %s", f.pod, *said)
	}
	return n, err
}

func (f *forwarded) Close() error {
	f.undo()
	return f.conn.Close()
}

func (f *forwarded) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (f *forwarded) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (f *forwarded) SetDeadline(time.Time) error      { return nil }
func (f *forwarded) SetReadDeadline(time.Time) error  { return nil }
func (f *forwarded) SetWriteDeadline(time.Time) error { return nil }

// dialPod is a way to one port of a pod, for HTTP clients.
func (e *Env) dialPod(namespace, pod string, port int) dialer {
	return func(ctx context.Context, _, _ string) (net.Conn, error) { return e.through(ctx, namespace, pod, port) }
}

// logs are what a container wrote.
func (e *Env) logs(ctx context.Context, pod, container string) (string, error) {
	raw, err := e.Client.CoreV1().Pods(e.Namespace).GetLogs(pod, &corev1.PodLogOptions{Container: container, LimitBytes: ptr(int64(most))}).Do(ctx).Raw()
	if err != nil {
		return "", fmt.Errorf("logs of %s: %w", pod, err)
	}
	return string(raw), nil
}
