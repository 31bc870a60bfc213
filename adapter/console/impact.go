package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"mezhved/adapter/lifecycle/impact"
	"mezhved/adapter/registry"
	"mezhved/xsd"
)

// ImpactOrder asks what a version would do to those who call its service.
type ImpactOrder struct {
	Sketch  registry.Sketch `json:"sketch"`
	From    time.Time       `json:"from"`
	To      time.Time       `json:"to,omitzero"`
	Last    int             `json:"last,omitempty"`    // messages of each caller; default 100
	Answers bool            `json:"answers,omitempty"` // of providers, too
	Values  bool            `json:"values,omitempty"`  // tell what stands in the messages
}

// mostOrdered bounds the order: schemas are packed.
const mostOrdered = 12 << 20

// serveImpact holds messages of the store against a schema. That is reading their
// content, and is noted as such, whoever asks.
func (c *Console) serveImpact(w http.ResponseWriter, r *http.Request, who Actor) error {
	var order ImpactOrder
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostOrdered))
	d.DisallowUnknownFields()
	if err := d.Decode(&order); err != nil {
		return problem(http.StatusBadRequest, Text{"Это не заказ проверки схемы: %v.", "This is no order to try a schema: %v."}, err)
	}
	if order.To.IsZero() {
		order.To = c.Now().UTC()
	}
	if order.From.IsZero() || !order.From.Before(order.To) || order.Sketch.Service == "" || order.Last < 0 {
		return problem(http.StatusBadRequest, Text{"Нужны версия вида сведений и время от и до.", "A version of a service and a time from and to are needed."})
	}
	to, err := order.Sketch.Compile()
	var bad *xsd.CompileError
	switch {
	case errors.As(err, &bad):
		return problem(http.StatusBadRequest, Text{"Схема не годится: %v", "The schema is not good: %v"}, bad)
	case err != nil:
		return problem(http.StatusBadRequest, Text{"Схема не годится: %v", "The schema is not good: %v"}, err)
	}
	query := fmt.Sprintf("service %s %s from %s to %s, last %d, answers %v, values %v", to.Name, to.Version, order.From.Format(time.RFC3339), order.To.Format(time.RFC3339), order.Last, order.Answers, order.Values)
	if err := c.note(r.Context(), who, reading{act: "impact", query: query, fields: []string{"content"}, always: true}); err != nil {
		return err
	}
	select {
	case c.counting <- struct{}{}: // one at a time, as reports
		defer func() { <-c.counting }()
	case <-r.Context().Done():
		return r.Context().Err()
	}
	hold, release := c.holding(r.Context(), mostOrdered)
	defer release()
	catalog := c.Gateway().Catalog()
	report, err := impact.Measure(r.Context(), c.Impact, to, impact.Question{From: order.From, To: order.To, Last: order.Last, Answers: order.Answers, Values: order.Values},
		func(version string) *registry.Service { return catalog.Service(to.Name, version) }, hold)
	if err != nil {
		return err
	}
	return writeJSON(w, report)
}

// Impact is what the desk measures schemas with. package postgres implements it.
type Impact interface {
	impact.Store
	ShadowTallies(ctx context.Context) ([]impact.Tally, error)
	ShadowSeen(ctx context.Context, limit int) ([]impact.Seen, error)
}

// ShadowList is what drafts would do to live traffic.
type ShadowList struct {
	Drafts []ShadowDraft `json:"drafts"`
}

// ShadowDraft is a draft that messages are held against.
type ShadowDraft struct {
	Service string         `json:"service"`
	Version string         `json:"version"`
	Title   string         `json:"title"`
	Parties []ShadowParty  `json:"parties"` // those who differ first
	Reasons []ShadowReason `json:"reasons"` // the most frequent first
}

// ShadowParty is what a draft would do to one sender.
type ShadowParty struct {
	Party     string    `json:"party"`
	Direction string    `json:"direction"`
	Seen      int64     `json:"seen"`
	Differ    int64     `json:"differ"`
	At        time.Time `json:"at"`
}

// ShadowReason is a rule by which one of the two versions refuses what the other takes.
type ShadowReason struct {
	Party     string    `json:"party"`
	Direction string    `json:"direction"`
	Refuses   string    `json:"refuses"` // draft, or current
	Rule      string    `json:"rule"`
	Path      string    `json:"path,omitempty"`
	Messages  int64     `json:"messages"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	MessageID string    `json:"messageId"` // of the latest
	Line      int       `json:"line,omitempty"`
	Col       int       `json:"col,omitempty"`
}

// mostShadowed bounds the differences of a page.
const mostShadowed = 500

func (c *Console) shadows(ctx context.Context) (*ShadowList, error) {
	list := &ShadowList{Drafts: []ShadowDraft{}}
	tallies, err := c.Impact.ShadowTallies(ctx)
	if err != nil {
		return nil, err
	}
	seen, err := c.Impact.ShadowSeen(ctx, mostShadowed)
	if err != nil {
		return nil, err
	}
	for _, s := range c.Gateway().Catalog().Services() {
		if !s.Shadow {
			continue
		}
		d := ShadowDraft{Service: s.Name, Version: s.Version, Title: s.Title, Parties: []ShadowParty{}, Reasons: []ShadowReason{}}
		for _, t := range tallies {
			if t.Service == s.Name && t.Version == s.Version {
				d.Parties = append(d.Parties, ShadowParty{string(t.Sender), string(t.Direction), t.Seen, t.Differ, t.At.UTC()})
			}
		}
		for _, one := range seen {
			if one.Service == s.Name && one.Version == s.Version {
				refuses := map[bool]string{true: "current", false: "draft"}[one.Looser]
				d.Reasons = append(d.Reasons, ShadowReason{string(one.Sender), string(one.Direction), refuses, one.Rule, one.Path, one.Messages, one.First.UTC(), one.Last.UTC(), one.Example, one.Line, one.Col})
			}
		}
		list.Drafts = append(list.Drafts, d)
	}
	return list, nil
}

func (c *Console) serveShadows(w http.ResponseWriter, r *http.Request, _ Actor) error {
	list, err := c.shadows(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, list)
}

func (c *Console) pageShadows(r *http.Request, _ Actor) (any, error) { return c.shadows(r.Context()) }
