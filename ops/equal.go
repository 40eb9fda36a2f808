package ops

import (
	"encoding/json"
	"reflect"
)

// comparer is an op that knows better than field by field when it says the same as another of its type.
type comparer interface{ same(seen Op) bool }

// Equal says whether the thing is as wished, so that there is nothing to do. It is not symmetric: what the wish does not care about is not compared.
func Equal(wish, seen Op) bool {
	if wish == nil || seen == nil || reflect.TypeOf(wish) != reflect.TypeOf(seen) || wish.Key() != seen.Key() {
		return false
	}
	if c, ok := wish.(comparer); ok {
		return c.same(seen)
	}
	a, errA := json.Marshal(wish)
	b, errB := json.Marshal(seen)
	return errA == nil && errB == nil && string(a) == string(b)
}

// Joined is an observation or a wish, and what a later one of the same thing says of parts that it does not speak about. So a wish may grow, and
// what was there before each part of it is still known. Of most kinds the first says all.
func Joined(first, later Op) Op {
	if j, ok := first.(interface{ joined(Op) Op }); ok && reflect.TypeOf(first) == reflect.TypeOf(later) {
		return j.joined(later)
	}
	return first
}

// put adds a name to one of two lists.
func put(there, not *[]string, name string, is bool) {
	if is {
		*there = append(*there, name)
	} else {
		*not = append(*not, name)
	}
}
