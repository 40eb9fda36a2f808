package engine

import (
	"fmt"
	"slices"
	"strings"
)

// Ref names one phase on one target.
type Ref struct {
	Target string `json:"target"`
	Phase  string `json:"phase"`
}

func (r Ref) String() string { return r.Phase + " on " + r.Target }

// Ref names the work.
func (w Work) Ref() Ref { return Ref{w.Target, w.Phase} }

// edges returns for each work the indexes of those that must be finished before it: first the one before it on its own target, if
// any, then those of other targets whose phase its After names. A phase that names itself is done by one target at a time, in
// the targets' order. Works that wait for each other are an error, for they would wait for ever.
func edges(works []Work) ([][]int, error) {
	byPhase := map[string][]int{}
	for i, w := range works {
		byPhase[w.Phase] = append(byPhase[w.Phase], i)
	}
	before := make([][]int, len(works))
	last := map[string]int{} // a target's work so far
	for i, w := range works {
		if j, ok := last[w.Target]; ok {
			before[i] = append(before[i], j)
		}
		last[w.Target] = i
		for _, need := range w.After {
			for _, j := range byPhase[need] {
				if works[j].Target == w.Target || need == w.Phase && j > i {
					continue
				}
				before[i] = append(before[i], j)
			}
		}
	}
	if loop := circle(before); loop != nil {
		names := make([]string, len(loop))
		for k, i := range loop {
			names[k] = works[i].Ref().String()
		}
		return nil, fmt.Errorf("phases wait for each other: %s", strings.Join(names, ", which waits for "))
	}
	return before, nil
}

// circle finds one way round that leads back to its beginning; nil if there is none.
func circle(before [][]int) []int {
	const (
		unseen = iota
		open
		closed
	)
	state := make([]int, len(before))
	var path, found []int
	var visit func(i int) bool
	visit = func(i int) bool {
		switch state[i] {
		case closed:
			return false
		case open:
			found = append(slices.Clone(path[slices.Index(path, i):]), i)
			return true
		}
		state[i] = open
		path = append(path, i)
		for _, j := range before[i] {
			if visit(j) {
				return true
			}
		}
		path = path[:len(path)-1]
		state[i] = closed
		return false
	}
	for i := range before {
		if visit(i) {
			return found
		}
	}
	return nil
}
