package reports

import (
	"bytes"
	"cmp"
	"container/heap"
	"slices"
)

// worst keeps the exchanges that were late most. The order is whole: which they are
// does not depend on the order in which they come.
type worst struct{ list []lateExchange }

func compareLate(a, b *lateExchange) int {
	return cmp.Or(cmp.Compare(b.delay, a.delay), cmp.Compare(a.due, b.due), bytes.Compare(a.message[:], b.message[:]))
}

// Len implements heap.Interface: the least late stands first.
func (w *worst) Len() int           { return len(w.list) }
func (w *worst) Less(i, j int) bool { return compareLate(&w.list[i], &w.list[j]) > 0 }
func (w *worst) Swap(i, j int)      { w.list[i], w.list[j] = w.list[j], w.list[i] }
func (w *worst) Push(x any)         { w.list = append(w.list, x.(lateExchange)) }
func (w *worst) Pop() any {
	last := w.list[len(w.list)-1]
	w.list = w.list[:len(w.list)-1]
	return last
}

func (w *worst) add(x lateExchange) {
	switch {
	case len(w.list) < mostLate:
		heap.Push(w, x)
	case compareLate(&x, &w.list[0]) < 0:
		w.list[0] = x
		heap.Fix(w, 0)
	}
}

// sorted are those that were kept, the latest first.
func (w *worst) sorted() []lateExchange {
	list := slices.Clone(w.list)
	slices.SortFunc(list, func(a, b lateExchange) int { return compareLate(&a, &b) })
	return list
}
