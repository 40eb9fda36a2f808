package ops

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/godbus/dbus/v5"
)

// firewalld is the host's firewalld over D-Bus (firewalld.dbus(5)).
type firewalld struct{ bus bus }

const (
	firewalldName = "org.fedoraproject.FirewallD1"
	firewalldPath = "/org/fedoraproject/FirewallD1"
)

// Has asks whether an entry is in the zone, which is the default zone where none is named.
func (f *firewalld) Has(ctx context.Context, e FirewallEntry) (there bool, err error) {
	err = f.call(ctx, e, "query", &there)
	return there, err
}

// Change adds or removes an entry.
func (f *firewalld) Change(ctx context.Context, e FirewallEntry, present bool) error {
	if present {
		return f.call(ctx, e, "add", nil)
	}
	return f.call(ctx, e, "remove", nil)
}

func (f *firewalld) call(ctx context.Context, e FirewallEntry, verb string, answer any) error {
	conn, err := f.bus.get()
	if err != nil {
		return err
	}
	what, args := "Source", []any{e.Source}
	if e.Port != "" {
		port, protocol, ok := strings.Cut(e.Port, "/")
		if !ok {
			return fmt.Errorf("%q is not a port with its protocol", e.Port)
		}
		what, args = "Port", []any{port, protocol}
	}
	object, method := conn.Object(firewalldName, firewalldPath), firewalldName+".zone."+verb+what
	if e.Permanent {
		zone := e.Zone
		if zone == "" {
			if err := object.CallWithContext(ctx, firewalldName+".getDefaultZone", 0).Store(&zone); err != nil {
				return explainFirewalld(err)
			}
		}
		var path dbus.ObjectPath
		config := conn.Object(firewalldName, firewalldPath+"/config")
		if err := config.CallWithContext(ctx, firewalldName+".config.getZoneByName", 0, zone).Store(&path); err != nil {
			return explainFirewalld(err)
		}
		object, method = conn.Object(firewalldName, path), firewalldName+".config.zone."+verb+what
	} else {
		args = append([]any{e.Zone}, args...)
		if verb == "add" && what == "Port" {
			args = append(args, int32(0)) // for ever, not for some seconds
		}
	}
	call := object.CallWithContext(ctx, method, 0, args...)
	if call.Err != nil {
		return explainFirewalld(call.Err)
	}
	if answer == nil {
		return nil
	}
	return call.Store(answer)
}

func explainFirewalld(err error) error {
	var e dbus.Error
	if errors.As(err, &e) && e.Name == "org.freedesktop.DBus.Error.ServiceUnknown" {
		return errors.New("firewalld does not run")
	}
	return fmt.Errorf("firewalld: %w", err)
}
