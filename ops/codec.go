package ops

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// kinds is every kind of op by the word it has in keys, on the wire and in the journal.
var kinds = map[string]func(json.RawMessage) (Op, error){
	"file":       as[File],
	"dir":        as[Dir],
	"link":       as[Symlink],
	"block":      as[Block],
	"merge":      as[Merge],
	"fstab":      as[Fstab],
	"sysctl":     as[Sysctl],
	"module":     as[Module],
	"swap":       as[Swap],
	"unit":       as[Unit],
	"firewalld":  as[Firewalld],
	"nftrules":   as[NFTRules],
	"ufw":        as[UFW],
	"ufwswitch":  as[UFWSwitch],
	"authority":  as[Authority],
	"keypair":    as[KeyPair],
	"trust":      as[Trust],
	"cert":       as[Certificate],
	"kubeconfig": as[Kubeconfig],
	"image":      as[Image],
	"package":    as[Package],
	"user":       as[User],
	"group":      as[Group],
	"copy":       as[Copy],
	"selinux":    as[SELinux],
	"stored":     as[Stored],
	"probe":      as[Probe],
	"claim":      as[Claim],
	"driver":     as[Driver],
	"forward":    as[Forward],
	"exports":    as[Exports],
}

// envelope is an op with its kind, as it travels and is journaled.
type envelope struct {
	Kind string          `json:"kind"`
	Op   json.RawMessage `json:"op"`
}

// Encode writes an op as JSON with its kind. What it writes of a wish may hold the wished content; pass it through Masked first where
// it is kept or shown.
func Encode(op Op) ([]byte, error) {
	kind := op.Key().Kind()
	if _, known := kinds[kind]; !known {
		return nil, fmt.Errorf("no such kind of op: %q", kind)
	}
	body, err := json.Marshal(op)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op.Key(), err)
	}
	return json.Marshal(envelope{kind, body})
}

// Decode reads what Encode wrote. Unknown kinds and unknown fields are errors: an op half understood must not be carried out.
func Decode(data []byte) (Op, error) {
	var e envelope
	if err := strict(data, &e); err != nil {
		return nil, fmt.Errorf("op: %w", err)
	}
	decode, known := kinds[e.Kind]
	if !known {
		return nil, fmt.Errorf("no such kind of op: %q", e.Kind)
	}
	op, err := decode(e.Op)
	if err != nil {
		return nil, fmt.Errorf("op %s: %w", e.Kind, err)
	}
	return op, nil
}

// Kinds are the words that keys begin with, sorted.
func Kinds() []string {
	out := make([]string, 0, len(kinds))
	for k := range kinds {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func as[T Op](data json.RawMessage) (Op, error) {
	var op T
	return op, strict(data, &op)
}

func strict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("there is more after the value")
	}
	return nil
}
