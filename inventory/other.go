package inventory

// other is what the second YAML reader found at the place we are at; known is false where there is nothing to compare with.
type other struct {
	value any
	known bool
}

func (o other) key(k string) other {
	m, ok := o.value.(map[string]any)
	v, has := m[k]
	return other{v, o.known && ok && has}
}

func (o other) index(i int) other {
	s, ok := o.value.([]any)
	if !o.known || !ok || i >= len(s) {
		return other{}
	}
	return other{s[i], true}
}

func (o other) sameKeys(keys map[string]place) bool {
	if !o.known {
		return true
	}
	m, _ := o.value.(map[string]any)
	for k := range keys {
		if _, ok := m[k]; !ok {
			return false
		}
	}
	return len(m) == len(keys)
}

func (o other) sameLength(n int) bool {
	s, _ := o.value.([]any)
	return !o.known || len(s) == n
}

// same compares a number or a boolean; every number is a float64 to the second reader.
func (o other) same(v any) bool {
	if i, ok := v.(int); ok {
		v = float64(i)
	}
	return !o.known || o.value == v
}

// differs reports a place that two YAML readers take for two things, as in {port:22}, where the missing space makes
// one of them see a key named port:22.
func (r *reading) differs(path string) {
	r.fail(path, Problem{Code: codeType, Wrong: "is read differently by different programs",
		Remedy: "put a space after every colon, text in quotes, and one value on a line"})
}
