package addons

// touched is what is live of the fields that the wish names, and of those that applying it would take away: what was wished once and is wished no more.
func touched(live, wish, would any) any {
	switch l := live.(type) {
	case map[string]any:
		w, ok := wish.(map[string]any)
		if !ok && wish != nil {
			return live
		}
		out, then := map[string]any{}, asMap(would)
		for k, x := range l {
			named, wished := w[k]
			kept, stays := then[k]
			if wished || !stays {
				out[k] = touched(x, named, kept)
			} else if m, ok := x.(map[string]any); ok {
				if lost := asMap(touched(m, nil, kept)); len(lost) > 0 {
					out[k] = lost
				}
			}
		}
		return out
	case []any:
		w, ok := wish.([]any)
		if !ok || len(l) != len(w) {
			return live
		}
		then, _ := would.([]any)
		out := make([]any, len(l))
		for i := range l {
			var kept any
			if len(then) == len(l) {
				kept = then[i]
			}
			out[i] = touched(l[i], w[i], kept)
		}
		return out
	}
	return live
}
