package impact

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/registry"
)

// Question asks what a version would do to those who call the service.
type Question struct {
	From, To time.Time // of the acceptance; To is exclusive
	Last     int       // messages of each caller, the latest; MostLast at most
	Answers  bool      // answers of providers, too
	Values   bool      // tell what stands in the messages
}

// Bounds of a measuring.
const (
	MostLast     = 1000
	MostMessages = 20_000
	mostReasons  = 200 // of one sender
)

// Store gives the messages that are measured. package postgres implements it.
type Store interface {
	// LatestMessages gives each the latest messages of a service that a sender has sent
	// between two times, so many of each sender and direction and so many in all, without
	// tests and without attachments; of those whose content was erased Erased is set. more
	// says that there were more.
	LatestMessages(ctx context.Context, service string, directions []adapter.Direction, from, to time.Time, last, most int, each func(*adapter.Message) error) (more bool, err error)
}

// Report is what a version would do.
type Report struct {
	Service string    `json:"service"`
	Version string    `json:"version"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Last    int       `json:"last"`
	Read    int       `json:"read"`
	Erased  int       `json:"erased"`         // whose content is gone
	Unread  int       `json:"unread"`         // that could not be held against it: of a version that is not registered any more
	More    bool      `json:"more,omitempty"` // there were more than MostMessages
	Refused int       `json:"refused"`        // parties some of whose messages would be refused
	Parties []Party   `json:"parties"`        // those who would be refused first, then by name
}

// Party is what a version would do to one sender.
type Party struct {
	Party     registry.Mnemonic `json:"party"`
	Direction adapter.Direction `json:"direction"`
	Read      int               `json:"read"`
	Erased    int               `json:"erased,omitempty"`
	Refused   int               `json:"refused"`
	Reasons   []Reason          `json:"reasons,omitempty"` // the most frequent first
}

// Reason is a rule that messages would break at a place.
type Reason struct {
	Rule     string `json:"rule"`
	Path     string `json:"path"`
	Messages int    `json:"messages"`
	Example  string `json:"example"` // MessageID of the latest
	Line     int    `json:"line"`    // of its envelope
	Col      int    `json:"col"`
	Russian  string `json:"russian,omitempty"` // with Values: what is wrong in it
	English  string `json:"english,omitempty"`
}

// Measure holds the latest messages of every caller against a version. from gives the
// version that a message was sent for; hold is told what one message takes, and may
// refuse.
func Measure(ctx context.Context, store Store, to *registry.Service, q Question, from func(version string) *registry.Service, hold func(bytes int) error) (*Report, error) {
	q.Last = min(cmp.Or(q.Last, 100), MostLast)
	r := &Report{Service: to.Name, Version: to.Version, From: q.From, To: q.To, Last: q.Last, Parties: []Party{}}
	directions := []adapter.Direction{adapter.DirRequest, adapter.DirBroadcast}
	if q.Answers {
		directions = append(directions, adapter.DirResponse)
	}
	type key struct {
		party     registry.Mnemonic
		direction adapter.Direction
	}
	parties := map[key]*Party{}
	reasons := map[key]map[[2]string]*Reason{}
	t := trial{to: to}
	more, err := store.LatestMessages(ctx, to.Name, directions, q.From, q.To, q.Last, MostMessages, func(m *adapter.Message) error {
		k := key{m.Sender, m.Direction}
		p := parties[k]
		if p == nil {
			p = &Party{Party: m.Sender, Direction: m.Direction}
			parties[k], reasons[k] = p, map[[2]string]*Reason{}
		}
		if m.Erased != nil {
			p.Erased++
			r.Erased++
			return nil
		}
		old := from(m.Version)
		if old == nil {
			r.Unread++
			return nil
		}
		if err := hold(4 * len(m.Body)); err != nil {
			return err
		}
		found, err := t.hold(m.Body, m.Parts.Data, old)
		if errors.Is(err, errNoContent) {
			return nil
		}
		if err != nil {
			r.Unread++
			return nil
		}
		p.Read++
		r.Read++
		if len(found) == 0 {
			return nil
		}
		p.Refused++
		counted := map[[2]string]bool{} // once for a message
		for _, d := range found {
			at := [2]string{d.Rule, d.Path}
			one := reasons[k][at]
			switch {
			case one != nil && !counted[at]:
				one.Messages++
			case one == nil && len(reasons[k]) < mostReasons: // the latest message comes first
				one = &Reason{Rule: d.Rule, Path: d.Path, Messages: 1, Example: string(m.MessageID), Line: d.Line, Col: d.Col}
				if q.Values {
					one.Russian, one.English = d.Text[0], d.Text[1]
				}
				reasons[k][at] = one
			}
			counted[at] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.More = more
	refused := map[registry.Mnemonic]bool{}
	for k, p := range parties {
		for _, one := range reasons[k] {
			p.Reasons = append(p.Reasons, *one)
		}
		slices.SortFunc(p.Reasons, func(a, b Reason) int {
			return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Rule, b.Rule))
		})
		refused[k.party] = refused[k.party] || p.Refused > 0
		r.Parties = append(r.Parties, *p)
	}
	for _, bad := range refused {
		if bad {
			r.Refused++
		}
	}
	slices.SortFunc(r.Parties, func(a, b Party) int {
		return cmp.Or(-compare(a.Refused > 0, b.Refused > 0), cmp.Compare(a.Party, b.Party), cmp.Compare(a.Direction, b.Direction))
	})
	return r, nil
}

func compare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// Count is how many parties were measured.
func (r *Report) Count() int {
	seen := map[registry.Mnemonic]bool{}
	for _, p := range r.Parties {
		seen[p.Party] = true
	}
	return len(seen)
}
