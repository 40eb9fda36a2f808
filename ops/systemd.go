package ops

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// systemd is the service manager of the host, over one D-Bus connection made when it is first needed.
type systemd struct {
	mu   sync.Mutex
	conn *sd.Conn
	host runner
}

type runner interface {
	Run(ctx context.Context, argv ...string) ([]byte, error)
}

func (s *systemd) get(ctx context.Context) (*sd.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil && s.conn.Connected() {
		return s.conn, nil
	}
	// Root may talk to systemd's own socket, where the bus daemon need not even run yet. The connection outlives the op that made it.
	conn, err := sd.NewSystemdConnectionContext(context.WithoutCancel(ctx))
	if err != nil {
		if conn, err = sd.NewSystemConnectionContext(context.WithoutCancel(ctx)); err != nil {
			return nil, fmt.Errorf("connect to systemd: %w", err)
		}
	}
	s.conn = conn
	return conn, nil
}

func (s *systemd) State(ctx context.Context, name string) (UnitState, error) {
	conn, err := s.get(ctx)
	if err != nil {
		return UnitState{}, err
	}
	p, err := conn.GetUnitPropertiesContext(ctx, name)
	if err != nil {
		return UnitState{}, fmt.Errorf("unit %s: %w", name, err)
	}
	active, load := text(p["ActiveState"]), text(p["LoadState"])
	file := text(p["UnitFileState"])
	state := UnitState{
		Exists:  load != "not-found" && load != "",
		Enabled: file == "enabled" || file == "enabled-runtime",
		Active:  active == "active" || active == "reloading",
	}
	if since, ok := p["ActiveEnterTimestamp"].(uint64); ok && state.Active && since != 0 {
		state.Since = time.UnixMicro(int64(since))
	}
	state.Unsettled = !state.Active && active != "inactive" && active != ""
	if strings.HasSuffix(name, ".service") && state.Active {
		main, err := conn.GetServicePropertyContext(ctx, name, "MainPID")
		if err != nil {
			return UnitState{}, fmt.Errorf("unit %s: %w", name, err)
		}
		if pid, ok := main.Value.Value().(uint32); ok && pid != 0 {
			state.Inputs, state.Replaced = inputsOf(int(pid)), replaced(int(pid))
		}
	}
	return state, nil
}

func (s *systemd) Enable(ctx context.Context, name string) error {
	conn, err := s.get(ctx)
	if err != nil {
		return err
	}
	if _, _, err := conn.EnableUnitFilesContext(ctx, []string{name}, false, false); err != nil {
		return fmt.Errorf("enable %s: %w", name, err)
	}
	return s.reload(ctx, conn)
}

func (s *systemd) Disable(ctx context.Context, name string) error {
	conn, err := s.get(ctx)
	if err != nil {
		return err
	}
	if _, err := conn.DisableUnitFilesContext(ctx, []string{name}, false); err != nil && !noSuchUnit(err) {
		return fmt.Errorf("disable %s: %w", name, err)
	}
	return s.reload(ctx, conn)
}

// Reload is for what Restart does not see: whether systemd needs to read a file again goes by its time, and one that was put back is older than the one
// it replaced.
func (s *systemd) Reload(ctx context.Context) error {
	conn, err := s.get(ctx)
	if err != nil {
		return err
	}
	return s.reload(ctx, conn)
}

func (s *systemd) reload(ctx context.Context, conn *sd.Conn) error {
	if err := conn.ReloadContext(ctx); err != nil {
		return fmt.Errorf("reload systemd: %w", err)
	}
	return nil
}

func (s *systemd) Restart(ctx context.Context, name string) error {
	conn, err := s.get(ctx)
	if err != nil {
		return err
	}
	p, err := conn.GetUnitPropertiesContext(ctx, name)
	if err != nil {
		return fmt.Errorf("unit %s: %w", name, err)
	}
	if stale, _ := p["NeedDaemonReload"].(bool); stale || text(p["LoadState"]) != "loaded" || newDropIn(name, p["DropInPaths"]) {
		if err := s.reload(ctx, conn); err != nil {
			return err
		}
	}
	if text(p["ActiveState"]) == "failed" {
		// A unit that failed too often may not start otherwise.
		_ = conn.ResetFailedUnitContext(ctx, name)
	}
	result := make(chan string, 1)
	if _, err := conn.RestartUnitContext(ctx, name, "replace", result); err != nil {
		return fmt.Errorf("restart %s: %w", name, err)
	}
	r, err := s.finish(ctx, name, "active", result)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("restart %s: %w", name, err)
	case r == "done":
		return nil
	}
	if conn, err = s.get(ctx); err != nil {
		return err
	}
	return s.failure(ctx, conn, name, r)
}

// newDropIn says whether there is a drop-in that systemd has not read. It overlooks a unit's first, in a directory that is newer than its last look.
func newDropIn(name string, read any) bool {
	known, _ := read.([]string)
	files, _ := filepath.Glob("/etc/systemd/system/" + name + ".d/*.conf") // the pattern is well-formed
	return slices.ContainsFunc(files, func(f string) bool { return !slices.Contains(known, f) })
}

// failure is why a unit did not start: systemd's word for it, and what the unit wrote last.
func (s *systemd) failure(ctx context.Context, conn *sd.Conn, name, job string) error {
	why := job
	if p, err := conn.GetUnitTypePropertiesContext(ctx, name, "Service"); err == nil {
		if result := text(p["Result"]); result != "" && result != "success" {
			why = result
		}
		if status, ok := p["ExecMainStatus"].(int32); ok && status != 0 {
			why += ", status " + strconv.Itoa(int(status))
		}
	}
	err := fmt.Errorf("%s did not start: %s", name, why)
	out, _ := s.host.Run(ctx, "journalctl", "-u", name, "-n", strconv.Itoa(linesKept), "--no-pager", "-o", "cat", "-q")
	last := lastLines(out)
	// systemd's own lines come last, and repeat what is said already.
	for i := len(last) - 1; i >= 0; i-- {
		if !strings.HasPrefix(last[i], name+":") && !strings.HasPrefix(last[i], "Failed to start") && !strings.HasPrefix(last[i], "Stopped ") {
			err = fmt.Errorf("%w: %s", err, last[i])
			break
		}
	}
	return &OutputError{Err: err, Last: strings.Join(last, "\n")}
}

func (s *systemd) Stop(ctx context.Context, name string, all bool) error {
	conn, err := s.get(ctx)
	if err != nil {
		return err
	}
	group := ""
	if p, err := conn.GetUnitTypePropertiesContext(ctx, name, unitType(name)); err == nil {
		group = text(p["ControlGroup"])
	}
	result := make(chan string, 1)
	switch _, err := conn.StopUnitContext(ctx, name, "replace", result); {
	case noSuchUnit(err):
	case err != nil:
		return fmt.Errorf("stop %s: %w", name, err)
	default:
		r, err := s.finish(ctx, name, "inactive", result)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("stop %s: %w", name, err)
		case r != "done":
			return fmt.Errorf("stop %s: %s", name, r)
		}
		if conn, err = s.get(ctx); err != nil {
			return err
		}
	}
	if all && group != "" && group != "/" {
		if err := endGroup(ctx, group); err != nil {
			return fmt.Errorf("stop %s: %w", name, err)
		}
	}
	if err := conn.ResetFailedUnitContext(ctx, name); err != nil && !noSuchUnit(err) {
		return fmt.Errorf("reset %s: %w", name, err)
	}
	return nil
}

// unitType is the D-Bus interface that has a unit's control group.
func unitType(name string) string {
	suffix := name[strings.LastIndexByte(name, '.')+1:]
	if suffix == "" {
		return "Service"
	}
	return strings.ToUpper(suffix[:1]) + suffix[1:]
}

func noSuchUnit(err error) bool {
	var e dbus.Error
	return errors.As(err, &e) && (e.Name == "org.freedesktop.systemd1.NoSuchUnit" || e.Name == "org.freedesktop.DBus.Error.FileNotFound")
}

func text(v any) string { s, _ := v.(string); return s }
