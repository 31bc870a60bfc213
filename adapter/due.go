package adapter

import (
	"mezhved/adapter/journal"
	"mezhved/adapter/registry"
)

// By when a message is to be queued, taken and answered is counted once, when it is
// accepted, by the rules and the calendar that are in force then (package terms), and
// stands in its entry "accepted". Whoever tells that it is late, or reports that it
// was, goes by that entry.

// setDue counts what a message is due at. A broadcast, and what is no request and no
// final answer, is due at no time.
func (m *Message) setDue(c *registry.Catalog, s *registry.Service) {
	if m.Direction != DirRequest && !m.Direction.Final() {
		return
	}
	m.Due, m.Later = c.Due(s, m.Direction != DirRequest, m.Recipients[0].System, m.Accepted)
	m.Deadline = m.Due.Answered
}

// tellDue puts into the entry "accepted" when the message is due, and when it ends.
func tellDue(ev *journal.Event, m *Message) {
	ev.Deadline, ev.DueQueued, ev.DueTaken, ev.DueStatus = m.Deadline, m.Due.Queued, m.Due.Taken, m.Due.Status
	ev.EOL, ev.Terms = m.EOL, m.Later.String()
}
