package postgres

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter"
)

// fresh keeps what this node accepted last, as it would be read back: nearly
// every message is taken by the relay and handed out within seconds, and each
// reading costs a statement, a row of thirty columns and an unpacking. A message
// never changes, so what is kept is true while it is kept; whoever is not found
// here is read. It is kept from before it is committed, since the relay may come as soon
// as it is: who asks by an id of ours has it from the database, and what comes to nothing
// is dropped. It is forgotten by age, so that retention is not
// outlived, and by room: the older half goes when the younger is full. The zero value is
// ready.
type fresh struct {
	mu         sync.Mutex
	young, old map[uuid.UUID]*freshly
	room       int       // of the younger half, what is left
	turned     time.Time // when the younger half was begun
}

// freshly is a message with its body as it is kept, and the number of its root element, for
// the relay.
type freshly struct {
	adapter.Message
	kept *adapter.Kept
	root int32
}

const (
	freshRoom = 20 << 20 // bytes of bodies in one half, and of what is kept of them
	freshBody = 256 << 10
	freshAge  = time.Minute // of a half, and so at most twice that of a message
)

// put keeps a message that is about to be committed. Its body is copied: the caller's
// buffer is used again. What has attachments is not kept, nor what has files:
// those go when they have been taken.
func (f *fresh) put(m *adapter.Message, as *adapter.Kept, root int32) {
	if len(m.Body) > freshBody || len(m.Attachments) > 0 || m.Parts.Files > 0 {
		return
	}
	kept := freshly{*m, as, root}
	size := len(m.Body)
	if as != nil {
		size += len(as.Box)
	}
	kept.Body, kept.Attachments = bytes.Clone(m.Body), nil
	kept.Recipients = slices.Clone(m.Recipients)
	for _, t := range []*time.Time{&kept.EOL, &kept.Accepted, &kept.Deadline} {
		*t = t.UTC().Truncate(time.Microsecond) // as the database keeps it
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turn(time.Now())
	if f.room < size {
		f.old, f.young, f.room, f.turned = f.young, nil, freshRoom, time.Now()
	}
	if f.young == nil {
		f.young = map[uuid.UUID]*freshly{}
	}
	f.young[kept.ID] = &kept
	f.room -= size
}

// drop forgets a message.
func (f *fresh) drop(id uuid.UUID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.young, id)
	delete(f.old, id)
}

// turn forgets by age.
func (f *fresh) turn(now time.Time) {
	switch age := now.Sub(f.turned); {
	case age > 2*freshAge:
		f.old, f.young, f.room, f.turned = nil, nil, freshRoom, now
	case age > freshAge:
		f.old, f.young, f.room, f.turned = f.young, nil, freshRoom, now
	}
}

// find looks in both halves.
func (f *fresh) find(id uuid.UUID) *freshly {
	if m := f.young[id]; m != nil {
		return m
	}
	return f.old[id]
}

// get gives a message that is the caller's, but for its body, which nobody may
// write to; nil when it is not kept.
func (f *fresh) get(id uuid.UUID) *adapter.Message {
	m := f.lend(id).Message
	if m == nil {
		return nil
	}
	own := *m
	return &own
}

// lend gives a message, and its body as it is kept, that nobody may write to; no message
// when it is not kept here.
func (f *fresh) lend(id uuid.UUID) loaded {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turn(time.Now())
	m := f.find(id)
	if m == nil {
		return loaded{}
	}
	return loaded{&m.Message, m.kept, m.root}
}
