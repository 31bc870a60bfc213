package alarms

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/terms"
)

// Store keeps what is to be told. package postgres implements it. Both works are led
// by one node at a time; adapter.ErrShardTaken and journal.ErrDeposed say that it is
// another one.
type Store interface {
	// ExpandAlarms gives the oldest events that nothing was made of yet, up to max, to
	// expand and commits what it makes of them with their deletion. n is their number.
	ExpandAlarms(ctx context.Context, max int, expand func([]journal.Event) []Alarm) (n int, err error)

	// SendAlarms gives alarms whose time has come, up to max, to send, and commits what
	// came of them together with the events; those that it says nothing of stay as they
	// are. n is their number. All of one rule, way and address stand together, and come
	// together as far as max allows; what was not tried yet comes first, then the oldest.
	SendAlarms(ctx context.Context, now time.Time, max int, send func(context.Context, []Pending) (Sent, error)) (n int, err error)

	// AlarmsStanding tells how many alarms are dead, and since when the oldest whose time has come waits.
	AlarmsStanding(ctx context.Context, now time.Time) (dead int, oldest time.Time, err error)
}

// Pending is an alarm whose time has come.
type Pending struct {
	Alarm
	Muted   bool // its rule tells nobody now
	Reached bool // it was to escalate, or to warn, and the stage is reached
}

// Sent is what came of alarms.
type Sent struct {
	Done   []int64         // to be deleted
	Again  []Alarm         // with At, Attempts, Problem and Dead as they are now
	Events []journal.Event // that tell of it
}

// Options put a Teller together. Store, Rules, Calendar, Now, Log and Metrics are needed.
type Options struct {
	Store    Store
	Rules    *Rules
	Mailer   *Mailer // nil: no mail goes
	Calendar func() *terms.Calendar
	Node     string
	URL      string // of the desk, for links; empty: none
	Now      func() time.Time
	Log      *slog.Logger
	Metrics  *prometheus.Registry
}

// Teller makes alarms of events and tells them.
type Teller struct {
	o      Options
	rules  atomic.Pointer[Rules]
	told   *prometheus.CounterVec
	failed *prometheus.CounterVec
	dead   prometheus.Gauge
	waits  prometheus.Gauge
	mailed map[group]time.Time // since this node leads
}

// New makes a Teller.
func New(o Options) *Teller {
	t := &Teller{
		o:      o,
		told:   prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "mezhved", Name: "alarms_told_total", Help: "Mails and calls by which alarms were told, by way."}, []string{"way"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "mezhved", Name: "alarms_failed_total", Help: "Attempts to tell alarms that failed, by way."}, []string{"way"}),
		dead:   prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "mezhved", Name: "alarms_dead", Help: "Alarms that could not be told and are not tried any more."}),
		mailed: map[group]time.Time{},
		waits:  prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "mezhved", Name: "alarms_waiting_seconds", Help: "For how long the oldest alarm whose time has come waits."}),
	}
	for _, way := range []string{WayMail, WayWebhook} {
		t.told.WithLabelValues(way)
		t.failed.WithLabelValues(way)
	}
	o.Metrics.MustRegister(t.told, t.failed, t.dead, t.waits)
	t.rules.Store(o.Rules)
	return t
}

// Replace puts other rules into force.
func (t *Teller) Replace(r *Rules) { t.rules.Store(r) }

// Names are those of the rules in force.
func (t *Teller) Names() (names []string) {
	for _, r := range t.rules.Load().Rules {
		names = append(names, r.Name)
	}
	return names
}

const (
	tellerPause  = 2 * time.Second
	tellerRows   = 500
	tellerExpand = 10 * time.Second // of making alarms, before those that are there are told
	tellerSend   = time.Minute      // of telling, before what came of it is committed
	mostAtOnce   = 10_000           // alarms in memory
	mostCalled   = 500              // alarms of one call
)

// Run tells until ctx ends.
func (t *Teller) Run(ctx context.Context) error {
	for {
		more, err := t.round(ctx)
		if err != nil && ctx.Err() == nil && !errors.Is(err, adapter.ErrShardTaken) && !errors.Is(err, journal.ErrDeposed) {
			return err
		}
		if more && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(tellerPause):
		}
	}
}

// round makes alarms of all events that wait, so that what comes at once is told at once,
// in one mail and not in hundreds, and then tells. more says that there is more to do.
func (t *Teller) round(ctx context.Context) (more bool, err error) {
	now := t.o.Now().UTC()
	rules := t.rules.Load()
	for begun, n := time.Now(), tellerRows; n == tellerRows && time.Since(begun) < tellerExpand; {
		n, err = t.o.Store.ExpandAlarms(ctx, tellerRows, func(events []journal.Event) (out []Alarm) {
			for i := range events {
				out = append(out, rules.Alarms(t.o.Calendar(), &events[i], now)...)
			}
			return out
		})
		if err != nil {
			return false, err
		}
		more = n == tellerRows
	}
	left := false
	m, err := t.o.Store.SendAlarms(ctx, now, mostAtOnce, func(ctx context.Context, list []Pending) (out Sent, err error) {
		out, left = t.send(ctx, rules, list, now)
		return out, nil
	})
	if err != nil {
		return false, err
	}
	dead, oldest, err := t.o.Store.AlarmsStanding(ctx, now)
	if err != nil {
		return false, err
	}
	t.dead.Set(float64(dead))
	t.waits.Set(0)
	if !oldest.IsZero() {
		t.waits.Set(now.Sub(oldest).Seconds())
	}
	return more || left || m == mostAtOnce, nil
}

// group is what goes as one mail, or one call. What was called and not taken is called
// again as it was: who took it and could not say so knows the copy.
type group struct {
	rule, way, target string
	again             time.Time
}

// send tells the alarms of one rule and address together. left says that there was no
// time for some.
func (t *Teller) send(ctx context.Context, rules *Rules, list []Pending, now time.Time) (out Sent, left bool) {
	groups := map[group][]Alarm{}
	var order []group
	for _, p := range list {
		switch {
		case p.Reached: // nobody has to be told any more
			out.Done = append(out.Done, p.ID)
			continue
		case p.Muted:
			out.Done = append(out.Done, p.ID)
			out.Events = append(out.Events, t.event(now, []Alarm{p.Alarm}, "muted"))
			continue
		}
		k := group{rule: p.Rule, way: p.Way, target: p.Target}
		if p.Way == WayWebhook && p.Attempts > 0 {
			k.again = p.At
		}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], p.Alarm)
	}
	maps.DeleteFunc(t.mailed, func(_ group, at time.Time) bool { return now.Sub(at) >= rules.Apart })
	var down error // of the mail server: it is not waited for once for each address
	for begun, i := time.Now(), 0; i < len(order); i++ {
		most := mostAtOnce
		if order[i].way == WayWebhook {
			most = mostCalled
		}
		if at, ok := t.mailed[order[i]]; ok {
			for _, a := range groups[order[i]] {
				a.At = at.Add(rules.Apart)
				out.Again = append(out.Again, a)
			}
			continue
		}
		for part := range slices.Chunk(groups[order[i]], most) {
			if time.Since(begun) > tellerSend {
				return out, true
			}
			err := down
			if order[i].way == WayWebhook || down == nil {
				err = t.deliver(ctx, rules, part, now)
			}
			if ctx.Err() != nil { // told to stop, or deposed: it was not tried
				return out, false
			}
			if order[i].way == WayMail && unreachable(err) {
				down = err
			}
			if order[i].way == WayMail && err == nil {
				t.mailed[order[i]] = now
			}
			t.tell(part, err, now, &out)
		}
	}
	return out, false
}

// unreachable says that a mail server could not be talked to at all.
func unreachable(err error) bool {
	var dial *net.OpError
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &dial) && dial.Op == "dial"
}

// tell says what came of one mail or call.
func (t *Teller) tell(list []Alarm, err error, now time.Time, out *Sent) {
	way := list[0].Way
	if err == nil {
		t.told.WithLabelValues(way).Inc()
		for _, a := range list {
			out.Done = append(out.Done, a.ID)
		}
		out.Events = append(out.Events, t.event(now, list, "told"))
		return
	}
	t.failed.WithLabelValues(way).Inc()
	var dead []Alarm
	for _, a := range list {
		a.Attempts++
		a.Problem = clip(err.Error())
		a.At = now.Add(pause(a.Attempts))
		if a.Dead = a.Attempts >= mostAttempts; a.Dead {
			dead = append(dead, a)
		}
		out.Again = append(out.Again, a)
	}
	t.o.Log.Warn("an alarm was not told", "rule", list[0].Rule, "way", way, "attempts", list[0].Attempts+1, "dead", len(dead), "problem", kindOf(err))
	if len(dead) > 0 {
		out.Events = append(out.Events, t.event(now, dead, "undelivered"))
	}
}

func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if r := []rune(s); len(r) > 200 {
		s = string(r[:200])
	}
	return strings.ReplaceAll(s, "\x00", " ")
}

const mostAttempts = 30

// pause grows from half a minute to an hour: thirty attempts take about a day.
func pause(attempts int) time.Duration {
	return min(30*time.Second<<min(attempts-1, 10), time.Hour)
}

func (t *Teller) deliver(ctx context.Context, rules *Rules, list []Alarm, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if list[0].Way == WayWebhook {
		secret := rules.secret(list[0].Rule, list[0].Target)
		if secret == nil {
			return errors.New("the rule names this address no more, so there is no secret to sign with")
		}
		return call(ctx, list[0].Target, secret, deliveryID(list), list, now)
	}
	if t.o.Mailer == nil {
		return errors.New("the configuration has no alarms.mail")
	}
	return t.o.Mailer.send(ctx, rules, t.o.URL, deliveryID(list), list, now)
}

// deliveryID is the same for the same alarms, however often they are told.
func deliveryID(list []Alarm) string {
	ids := make([]string, len(list))
	for i, a := range list {
		ids[i] = strconv.FormatInt(a.ID, 10)
	}
	slices.Sort(ids)
	sum := sha256.Sum256([]byte(list[0].Target + " " + strings.Join(ids, " ")))
	return fmt.Sprintf("%x", sum[:16])
}

// event is the entry that says what came of alarms.
func (t *Teller) event(now time.Time, list []Alarm, outcome string) journal.Event {
	a := &list[0]
	e := journal.Event{Kind: journal.KindAlarm, Time: now, Node: t.o.Node, Operation: a.Way, Outcome: outcome, Rule: a.Rule, Count: len(list),
		Personal: []journal.PersonalField{{Field: "address", Value: a.Target}}}
	if len(list) == 1 {
		e.Message, e.MessageID, e.Direction, e.Sender, e.Recipient = a.Event.Message, a.Event.MessageID, a.Event.Direction, a.Event.Sender, a.Event.Recipient
		e.Service, e.Version, e.Stage, e.Deadline = a.Event.Service, a.Event.Version, a.Event.Stage, a.Event.Deadline
	}
	return e
}

// Tried is what came of telling somebody that this is a test.
type Tried struct {
	Way, Target string
	Err         error
}

// Try tells everybody whom a rule names of an alarm about no message.
func Try(ctx context.Context, rules *Rules, rule *Rule, mailer *Mailer, desk string, now time.Time) (out []Tried) {
	t := &Teller{o: Options{Mailer: mailer, URL: desk, Now: time.Now}}
	lists := []Recipients{rule.To}
	for _, e := range rule.Escalate {
		lists = append(lists, e.To)
	}
	one := Alarm{ID: now.UnixNano(), Rule: rule.Name, Stage: terms.StageAnswered, Event: journal.Event{
		Kind: journal.KindOverdue, Time: now, Stage: string(terms.StageAnswered), Deadline: now.Truncate(time.Minute),
		MessageID: "00000000-0000-0000-0000-000000000000", Direction: "request", Sender: "TEST", Recipient: "TEST", Service: "test", Version: "0",
	}}
	for _, to := range lists {
		for _, a := range to.Mail {
			one.Way, one.Target = WayMail, a
			out = append(out, Tried{WayMail, a, t.deliver(ctx, rules, []Alarm{one}, now)})
		}
		for _, h := range to.Webhooks {
			one.Way, one.Target = WayWebhook, h.URL
			out = append(out, Tried{WayWebhook, h.URL, t.deliver(ctx, rules, []Alarm{one}, now)})
		}
	}
	return out
}
