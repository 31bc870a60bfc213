package adapter

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"mezhved/adapter/journal"
	"mezhved/signing"
)

// RevocationAnswer is what a journal entry names when it says by what a certificate
// was judged: a revocation list or an answer of OCSP as it came, or the list of
// several of them (journal.Judgement).
type RevocationAnswer struct {
	Digest [32]byte
	Kind   string // crl, ocsp, list
	Source string // the configured file or address; empty for a list
	Bytes  []byte
	Made   time.Time // thisUpdate; zero for a list
	Due    time.Time // nextUpdate; zero: not stated
}

// AnswerList is the Kind of a list of answers.
const AnswerList = "list"

// judgedBy notes what decided about a certificate of this call.
func (c *call) judgedBy(answers []*signing.RevocationAnswer) {
	for _, a := range answers {
		if !slices.ContainsFunc(c.judged, func(o *signing.RevocationAnswer) bool { return o.SHA256 == a.SHA256 }) {
			c.judged = append(c.judged, a)
		}
	}
}

// keepJudgement keeps the answers by which this call's certificates were judged and
// has the call's events name them. It comes before every event: one that names an
// answer which nobody has proves nothing. An answer is written when it is new to
// this node or to the day, and at no other call.
func (g *Gateway) keepJudgement(ctx context.Context, c *call) error {
	if len(c.judged) == c.named {
		return nil
	}
	digests, answers := make([][32]byte, len(c.judged)), make([]RevocationAnswer, len(c.judged), len(c.judged)+1)
	for i, a := range c.judged {
		digests[i], answers[i] = a.SHA256, RevocationAnswer{a.SHA256, a.Kind, a.Source, a.DER, a.ThisUpdate, a.NextUpdate}
	}
	name, list := journal.Judgement(digests)
	if list != nil {
		answers = append(answers, RevocationAnswer{Digest: sha256.Sum256(list), Kind: AnswerList, Bytes: list})
	}
	if err := g.store.KeepAnswers(ctx, answers, c.started); err != nil {
		return unavailable(fmt.Errorf("keeping the answers about revocation: %w", err))
	}
	c.event.Revocation, c.named = name, len(c.judged)
	return nil
}
