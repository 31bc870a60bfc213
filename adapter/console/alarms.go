package console

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"mezhved/adapter/alarms"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
)

// Alarms are what is kept of them. package postgres implements it.
type Alarms interface {
	Mutes(ctx context.Context, now time.Time) ([]postgres.Mute, error)
	MuteAlarms(ctx context.Context, m postgres.Mute, ev journal.Event) error
	DeadAlarms(ctx context.Context, limit int) ([]alarms.Alarm, error)
	RetryAlarms(ctx context.Context, now time.Time, ev journal.Event) (int, error)
}

// Muted is a rule that tells nobody now.
type Muted struct {
	Rule   string    `json:"rule"`
	Until  time.Time `json:"until"`
	Ground string    `json:"ground"`
}

// DeadAlarm is an alarm that could not be told.
type DeadAlarm struct {
	Rule      string    `json:"rule"`
	Way       string    `json:"way"`
	Target    string    `json:"target"`
	Event     string    `json:"event"`
	Stage     string    `json:"stage"`
	Due       time.Time `json:"due"`
	MessageID string    `json:"messageId"`
	Attempts  int       `json:"attempts"`
	Problem   string    `json:"problem"`
}

// AlarmList is what stands still of alarms.
type AlarmList struct {
	Muted []Muted     `json:"muted"`
	Dead  []DeadAlarm `json:"dead"` // at most 500, the latest first
}

// MuteOrder has a rule tell nobody for a time; 0 seconds end an earlier order.
type MuteOrder struct {
	Rule    string `json:"rule"`
	Seconds int    `json:"seconds"`
	Ground  string `json:"ground"`
}

// Retried is how many dead alarms are tried again.
type Retried struct {
	Alarms int `json:"alarms"`
}

func (c *Console) serveAlarms(w http.ResponseWriter, r *http.Request, who Actor) error {
	if err := c.note(r.Context(), who, reading{act: "alarms"}); err != nil {
		return err
	}
	list, err := c.alarms(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, list)
}

func (c *Console) alarms(ctx context.Context) (*AlarmList, error) {
	out := &AlarmList{Muted: []Muted{}, Dead: []DeadAlarm{}}
	if c.Alarms == nil {
		return out, nil
	}
	mutes, err := c.Alarms.Mutes(ctx, c.Now().UTC())
	if err != nil {
		return nil, err
	}
	for _, m := range mutes {
		out.Muted = append(out.Muted, Muted{m.Rule, m.Until.UTC(), m.Ground})
	}
	dead, err := c.Alarms.DeadAlarms(ctx, pageMost)
	if err != nil {
		return nil, err
	}
	for _, a := range dead {
		out.Dead = append(out.Dead, DeadAlarm{a.Rule, a.Way, a.Target, string(a.Event.Kind), string(a.Stage), a.Event.Deadline, a.Event.MessageID, a.Attempts, a.Problem})
	}
	return out, nil
}

// longestMute is for how long a rule may tell nobody.
const longestMute = 31 * 24 * time.Hour

func (c *Console) serveMute(w http.ResponseWriter, r *http.Request, who Actor) error {
	var o MuteOrder
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return problem(http.StatusBadRequest, Text{"Ожидается распоряжение, как его описывает API: %v.", "An order as the API describes it is expected: %v."}, err)
	}
	done, err := c.mute(r.Context(), who, o)
	if err != nil {
		return err
	}
	return writeJSON(w, done)
}

// mute has a rule tell nobody for a time, or ends that.
func (c *Console) mute(ctx context.Context, who Actor, o MuteOrder) (*Muted, error) {
	if c.Alarms == nil {
		return nil, errNoAlarms
	}
	if o.Ground = strings.TrimSpace(storable(o.Ground)); o.Ground == "" || o.Rule == "" || len(o.Rule) > 64 || o.Rule != storable(o.Rule) || o.Seconds < 0 || o.Seconds > int(longestMute/time.Second) {
		return nil, problem(http.StatusBadRequest, Text{"Нужны правило, основание и срок не больше 31 дня.", "A rule, a ground and a time of 31 days at most are needed."})
	}
	if c.AlarmRules != nil && o.Seconds > 0 { // an order to a rule that was taken out may be ended
		if names := c.AlarmRules(); len(names) > 0 && !slices.Contains(names, o.Rule) {
			return nil, problem(http.StatusBadRequest, Text{"Правила %q нет; есть %s.", "There is no rule %q; there are %s."}, o.Rule, strings.Join(names, ", "))
		}
	}
	now := c.Now().UTC().Truncate(time.Millisecond)
	m := postgres.Mute{Rule: o.Rule, Until: now.Add(time.Duration(o.Seconds) * time.Second), Ground: o.Ground}
	ev := c.alarmEvent(who, now, map[bool]string{true: "mute", false: "unmute"}[o.Seconds > 0])
	ev.Rule, ev.Ground, ev.Deadline = m.Rule, m.Ground, m.Until
	if err := c.Alarms.MuteAlarms(ctx, m, ev); err != nil {
		return nil, err
	}
	return &Muted{m.Rule, m.Until, m.Ground}, nil
}

func (c *Console) serveRetry(w http.ResponseWriter, r *http.Request, who Actor) error {
	n, err := c.retry(r.Context(), who)
	if err != nil {
		return err
	}
	return writeJSON(w, Retried{n})
}

// retry has dead alarms tried again, and says how many.
func (c *Console) retry(ctx context.Context, who Actor) (int, error) {
	if c.Alarms == nil {
		return 0, errNoAlarms
	}
	now := c.Now().UTC()
	return c.Alarms.RetryAlarms(ctx, now, c.alarmEvent(who, now, "retry"))
}

// alarmsPage is what stands still of alarms, and what an operator can do about it.
type alarmsPage struct {
	List  *AlarmList
	More  bool     // there are more dead ones than the list has
	Rules []string // that can be muted
}

func (c *Console) pageAlarms(r *http.Request, who Actor) (any, error) {
	if err := c.note(r.Context(), who, reading{act: "alarms"}); err != nil {
		return nil, err
	}
	list, err := c.alarms(r.Context())
	if err != nil {
		return nil, err
	}
	p := &alarmsPage{List: list, More: len(list.Dead) == pageMost}
	if c.AlarmRules != nil {
		p.Rules = c.AlarmRules()
	}
	return p, nil
}

func (c *Console) orderMute(r *http.Request, who Actor) error {
	seconds, err := strconv.Atoi(r.PostFormValue("seconds"))
	if err != nil {
		return problem(http.StatusBadRequest, Text{"Нужны правило, основание и срок не больше 31 дня.", "A rule, a ground and a time of 31 days at most are needed."})
	}
	_, err = c.mute(r.Context(), who, MuteOrder{Rule: r.PostFormValue("rule"), Seconds: seconds, Ground: r.PostFormValue("ground")})
	return err
}

func (c *Console) orderRetry(r *http.Request, who Actor) error {
	_, err := c.retry(r.Context(), who)
	return err
}

var errNoAlarms = problem(http.StatusServiceUnavailable, Text{"На этом узле оповещений нет.", "This node has no alarms."})

func (c *Console) alarmEvent(who Actor, now time.Time, outcome string) journal.Event {
	return journal.Event{Kind: journal.KindAlarm, Time: now, Node: c.Gateway().Config().Node, Outcome: outcome,
		Personal: []journal.PersonalField{{Field: "actor", Value: string(who.Role) + " " + who.Name}}}
}
