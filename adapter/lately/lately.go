// Package lately remembers what came lately: a map of bounded size that forgets by halves.
// It is for what spares work when it is known and costs nothing but that work when it is not,
// such as what this process has itself done a moment ago. Nothing may rest on it.
//
// Who may enter: rooms that remember so. It knows none of them.
package lately

// Map remembers at least the last Most keys that were put, and at most twice as many. It is
// for one goroutine at a time. It needs Most; else it is ready.
type Map[K comparable, V any] struct {
	Most int

	young, old map[K]V
}

// Put remembers a value.
func (m *Map[K, V]) Put(k K, v V) {
	if len(m.young) >= m.Most {
		m.old, m.young = m.young, m.old
		clear(m.young) // it has its room: to grow a map means to place all of it anew, over and over
	}
	if m.young == nil {
		m.young = map[K]V{}
	}
	m.young[k] = v
}

// Get gives what was put last; false: it is not known.
func (m *Map[K, V]) Get(k K) (v V, ok bool) {
	if v, ok = m.young[k]; !ok {
		v, ok = m.old[k]
	}
	return v, ok
}

// Delete forgets a key where it has such a value: what was put later stays, and so does
// what was put before, which is known again then.
func (m *Map[K, V]) Delete(k K, such func(V) bool) {
	for _, half := range []map[K]V{m.young, m.old} {
		if v, ok := half[k]; ok && such(v) {
			delete(half, k)
		}
	}
}

// Len is how much is remembered.
func (m *Map[K, V]) Len() int { return len(m.young) + len(m.old) }
