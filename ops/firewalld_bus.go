package ops

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
)

// firewalld is the host's firewalld over D-Bus (firewalld.dbus(5)).
type firewalld struct {
	bus  bus
	host runner
}

const (
	firewalldName = "org.fedoraproject.FirewallD1"
	firewalldPath = "/org/fedoraproject/FirewallD1"
)

// ask calls a method of an object below firewalld's own. Nobody is started by being asked.
func (f *firewalld) ask(ctx context.Context, at dbus.ObjectPath, method string, answer any, args ...any) error {
	conn, err := f.bus.get()
	if err != nil {
		return err
	}
	call := conn.Object(firewalldName, at).CallWithContext(ctx, firewalldName+method, dbus.FlagNoAutoStart, args...)
	if call.Err != nil {
		return explainFirewalld(call.Err)
	}
	if answer == nil {
		return nil
	}
	return call.Store(answer)
}

// Has asks whether an entry is in the zone, which is the default zone where none is named.
func (f *firewalld) Has(ctx context.Context, e FirewallEntry) (there bool, err error) {
	if err = f.entry(ctx, e, "query", &there); errors.Is(err, errNoFirewalld) {
		err = f.offlineEntry(ctx, e, "query", &there)
	}
	return there, err
}

// Change adds or removes an entry.
func (f *firewalld) Change(ctx context.Context, e FirewallEntry, present bool) error {
	verb := map[bool]string{true: "add", false: "remove"}[present]
	err := f.entry(ctx, e, verb, nil)
	if errors.Is(err, errNoFirewalld) {
		err = f.offlineEntry(ctx, e, verb, nil)
	}
	return err
}

func (f *firewalld) entry(ctx context.Context, e FirewallEntry, verb string, answer any) error {
	what, args := "Source", []any{e.Source}
	switch {
	case e.Port != "":
		port, protocol, ok := strings.Cut(e.Port, "/")
		if !ok {
			return fmt.Errorf("%q is not a port with its protocol", e.Port)
		}
		what, args = "Port", []any{port, protocol}
	case e.Rule != "":
		what, args = "RichRule", []any{e.Rule}
	}
	if e.Permanent {
		path, err := f.permanent(ctx, "Zone", e.Zone)
		if err != nil {
			return err
		}
		return f.ask(ctx, path, ".config.zone."+verb+what, answer, args...)
	}
	args = append([]any{e.Zone}, args...)
	if verb == "add" && what != "Source" {
		args = append(args, int32(0)) // for ever, not for some seconds
	}
	return f.ask(ctx, firewalldPath, ".zone."+verb+what, answer, args...)
}

// Rules lists a zone's rich rules.
func (f *firewalld) Rules(ctx context.Context, zone string, permanent bool) ([]string, error) {
	rules, err := f.rules(ctx, zone, permanent)
	if errors.Is(err, errNoFirewalld) {
		return f.offlineRules(ctx, zone, permanent)
	}
	return rules, err
}

func (f *firewalld) rules(ctx context.Context, zone string, permanent bool) (rules []string, err error) {
	if !permanent {
		err := f.ask(ctx, firewalldPath, ".zone.getRichRules", &rules, zone)
		return rules, err
	}
	path, err := f.permanent(ctx, "Zone", zone)
	if err != nil {
		return nil, err
	}
	err = f.ask(ctx, path, ".config.zone.getRichRules", &rules)
	return rules, err
}

// permanent is the object of a zone, policy or set of addresses as firewalld will start with it.
func (f *firewalld) permanent(ctx context.Context, kind, name string) (path dbus.ObjectPath, err error) {
	if name == "" {
		if err := f.ask(ctx, firewalldPath, ".getDefaultZone", &name); err != nil {
			return "", err
		}
	}
	err = f.ask(ctx, firewalldPath+"/config", ".config.get"+kind+"ByName", &path, name)
	return path, err
}

// Defaults drops what was configured of a zone beyond what firewalld ships.
func (f *firewalld) Defaults(ctx context.Context, zone string) error {
	path, err := f.permanent(ctx, "Zone", zone)
	if errors.Is(err, errNoFirewalld) { // its command for that writes the zone's own file again
		file := "/etc/firewalld/zones/" + zone + ".xml"
		return os.Rename(file, file+oldZone)
	}
	if err != nil {
		return err
	}
	return f.ask(ctx, path, ".config.zone.loadDefaults", nil)
}

// ReloadFirewall has firewalld start anew from what is permanent.
func (f *firewalld) ReloadFirewall(ctx context.Context) error {
	return f.ask(ctx, firewalldPath, ".reload", nil)
}

// Zones asks for the zones in use.
func (f *firewalld) Zones(ctx context.Context) (map[string]FirewallZone, error) {
	var active map[string]map[string][]string
	if err := f.ask(ctx, firewalldPath, ".zone.getActiveZones", &active); err != nil {
		return nil, err
	}
	byDefault := ""
	if err := f.ask(ctx, firewalldPath, ".getDefaultZone", &byDefault); err != nil {
		return nil, err
	}
	out := map[string]FirewallZone{byDefault: {Default: true}}
	for name, z := range active {
		out[name] = FirewallZone{Interfaces: z["interfaces"], Sources: z["sources"], Default: name == byDefault}
	}
	return out, nil
}

// Lossless compares what is now with what is permanent, object by object.
func (f *firewalld) Lossless(ctx context.Context, despiteInterfaces bool) (bool, error) {
	for _, kind := range []struct{ of, list, now, config, later string }{
		{"Zone", ".zone.getZones", ".zone.getZoneSettings2", ".config.zone", "getSettings2"},
		{"Policy", ".policy.getPolicies", ".policy.getPolicySettings", ".config.policy", "getSettings"},
	} {
		var names []string
		if err := f.ask(ctx, firewalldPath, kind.list, &names); err != nil {
			return false, err
		}
		for _, name := range names {
			var now, later map[string]dbus.Variant
			if err := f.ask(ctx, firewalldPath, kind.now, &now, name); err != nil {
				return false, err
			}
			path, err := f.permanent(ctx, kind.of, name)
			if err != nil {
				return false, err
			}
			if err := f.ask(ctx, path, kind.config+"."+kind.later, &later); err != nil {
				return false, err
			}
			if !sameSettings(now, later, despiteInterfaces) {
				return false, nil
			}
		}
	}
	var sets []string
	if err := f.ask(ctx, firewalldPath, ".ipset.getIPSets", &sets); err != nil {
		return false, err
	}
	var direct [][]any
	if err := f.ask(ctx, firewalldPath, ".direct.getAllRules", &direct); err != nil {
		return false, err
	}
	var passed [][]any
	if err := f.ask(ctx, firewalldPath, ".direct.getAllPassthroughs", &passed); err != nil {
		return false, err
	}
	panicking := false
	err := f.ask(ctx, firewalldPath, ".queryPanicMode", &panicking)
	// Of these nobody can tell whether they are permanent without much more asking.
	return len(sets)+len(direct)+len(passed) == 0 && !panicking, err
}

// sameSettings compares settings as sets; what is not named is empty.
func sameSettings(a, b map[string]dbus.Variant, despiteInterfaces bool) bool {
	words := func(settings map[string]dbus.Variant) []string {
		var out []string
		for name, v := range settings {
			if name == "interfaces" && despiteInterfaces {
				continue
			}
			switch value := v.Value().(type) {
			case []string:
				for _, s := range value {
					out = append(out, name+" "+s)
				}
			case [][]any:
				for _, s := range value {
					out = append(out, fmt.Sprint(name, s))
				}
			case bool:
				if value {
					out = append(out, name)
				}
			case string:
				if value != "" {
					out = append(out, name+" "+value)
				}
			default:
				out = append(out, fmt.Sprint(name, value))
			}
		}
		slices.Sort(out)
		return out
	}
	return slices.Equal(words(a), words(b))
}

func explainFirewalld(err error) error {
	var e dbus.Error
	if errors.As(err, &e) && (e.Name == "org.freedesktop.DBus.Error.ServiceUnknown" || e.Name == "org.freedesktop.DBus.Error.NameHasNoOwner") {
		return errNoFirewalld
	}
	return fmt.Errorf("firewalld: %w", err)
}
