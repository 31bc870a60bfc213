package console

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/journal"
)

// Answer is what an entry's "revocation" names, as the API shows it: a revocation
// list or an answer of OCSP that decided about a certificate, or the list of several.
type Answer struct {
	Digest string    `json:"digest"` // hex SHA-256
	Kind   string    `json:"kind"`   // crl, ocsp, list
	Source string    `json:"source,omitempty"`
	Made   time.Time `json:"made,omitzero"` // thisUpdate
	Due    time.Time `json:"due,omitzero"`  // nextUpdate
	Size   int       `json:"size"`
	Names  []string  `json:"names,omitempty"` // of a list: the answers in it
	Bytes  string    `json:"bytes"`           // where they are to be had
}

// answers gives what the events' certificates were judged by, each once, a list
// before what it names; those that are not kept any more are left out.
func (c *Console) answers(ctx context.Context, events []Entry) ([]Answer, error) {
	var out []Answer
	var add func(digest string) error
	add = func(digest string) error {
		if digest == "" || slices.ContainsFunc(out, func(a Answer) bool { return a.Digest == digest }) {
			return nil
		}
		a, names, err := c.kept(ctx, digest)
		if err != nil || a == nil {
			return err
		}
		out = append(out, Answer{Digest: digest, Kind: a.Kind, Source: a.Source, Made: a.Made, Due: a.Due, Size: len(a.Bytes), Names: names,
			Bytes: "/api/v1/journal/revocation/" + digest})
		for _, n := range names {
			if err := add(n); err != nil {
				return err
			}
		}
		return nil
	}
	for _, e := range events {
		if err := add(e.Revocation); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// kept gives a kept answer by its hex SHA-256 and, of a list, what it names; nil when it is not kept.
func (c *Console) kept(ctx context.Context, digest string) (*adapter.RevocationAnswer, []string, error) {
	sum, err := hex.DecodeString(digest)
	if err != nil || len(sum) != 32 {
		return nil, nil, nil
	}
	a, err := c.Store.Answer(ctx, [32]byte(sum))
	if errors.Is(err, adapter.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil || a.Kind != adapter.AnswerList {
		return &a, nil, err
	}
	list, err := journal.ParseJudgement(a.Bytes)
	names := make([]string, len(list))
	for i, d := range list {
		names[i] = hex.EncodeToString(d[:])
	}
	return &a, names, err
}

// serveAnswer gives a kept answer about revocation as it came.
func (c *Console) serveAnswer(w http.ResponseWriter, r *http.Request, who Actor) error {
	digest := param(r, "digest")
	if err := c.note(r.Context(), who, reading{act: "revocation", query: "answer " + digest, fields: []string{"digest"}}); err != nil {
		return err
	}
	a, _, err := c.kept(r.Context(), digest)
	if err != nil {
		return err
	}
	if a == nil {
		return adapter.ErrNotFound
	}
	kind := map[string]string{"crl": "application/pkix-crl", "ocsp": "application/ocsp-response", adapter.AnswerList: "text/plain"}[a.Kind]
	writeBytes(w, a.Kind+"-"+digest[:16], map[string]string{"crl": ".crl", "ocsp": ".ors", adapter.AnswerList: ".txt"}[a.Kind], kind, a.Bytes)
	return nil
}
