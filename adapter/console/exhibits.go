package console

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/postgres"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

func newMessage() string {
	id, err := uuid.NewV7()
	if err != nil {
		panic("no randomness: " + err.Error())
	}
	return id.String()
}

// exhibits add to entries what they vouch for: the envelope as received, with the
// opening of its digest, what proves a delivery or an acknowledgement, with that of the
// receipt, the certificate and by what it was judged. Personal values stay closed.
// hold is told what they take. unopened are the entries of which something is left out for
// want of a key; nil where there are none.
func (c *Console) exhibits(ctx context.Context, rows []postgres.Row, hold func(bytes int) error) (out []audit.Exhibit, unopened *postgres.Unopened, err error) {
	out, size := make([]audit.Exhibit, 0, len(rows)), 0
	shown := map[string]bool{} // certificates and answers about revocation
	receipts := receipts{console: c, kept: map[string][]adapter.Receipt{}}
	for i := range rows {
		x := audit.Exhibit{Index: rows[i].Index}
		leaf := &rows[i].Leaf
		_, digest := leaf.Committed(journal.FieldDigest)
		_, receipt := leaf.Committed(journal.FieldReceipt)
		if digest || receipt {
			open, err := c.Journal.Openings(ctx, x.Index)
			if err != nil {
				return nil, nil, err
			}
			c.envelope(ctx, leaf, open, &x)
			if err := receipts.add(ctx, leaf, open, &x); err != nil {
				return nil, nil, err
			}
			if digest && !opens(open, journal.FieldDigest) || receipt && !opens(open, journal.FieldReceipt) {
				u, err := c.Journal.UnopenedAt(ctx, x.Index)
				if err != nil {
					return nil, nil, err
				}
				unopened = unopened.And(u)
			}
		}
		size += 2 * (len(x.Envelope) + len(x.Poll) + len(x.Answer) + len(x.Ack)) // here, and in the zip
		if err := hold(size); err != nil {
			return nil, nil, err
		}
		if sum := leaf.Certificate; sum != "" && !shown[sum] {
			x.Certificate = c.certificate(sum, x.Envelope, func(bytes int) error { return hold(size + bytes) })
			shown[sum] = x.Certificate != nil
		}
		if name := leaf.Revocation; name != "" && !shown[name] {
			shown[name] = true
			if err := c.judgement(ctx, name, &x, shown); err != nil {
				return nil, nil, err
			}
			size += len(x.Revocation)
			for _, a := range x.Answers {
				size += 2 * len(a)
			}
			if err := hold(size); err != nil {
				return nil, nil, err
			}
		}
		out = append(out, x)
	}
	return out, unopened, nil
}

func opens(open []journal.Opening, field string) bool {
	return slices.ContainsFunc(open, func(o journal.Opening) bool { return o.Field == field })
}

// judgement adds what an entry's certificates were judged by, as far as it is kept
// and is not in the bundle yet.
func (c *Console) judgement(ctx context.Context, name string, x *audit.Exhibit, shown map[string]bool) error {
	a, names, err := c.kept(ctx, name)
	if err != nil || a == nil {
		return err
	}
	x.Revocation = a.Bytes
	for _, n := range names {
		if shown[n] {
			continue
		}
		shown[n] = true
		one, _, err := c.kept(ctx, n)
		if err != nil {
			return err
		}
		if one != nil {
			x.Answers = append(x.Answers, one.Bytes)
		}
	}
	return nil
}

// envelope adds the envelope that an entry commits to, when it is still kept.
func (c *Console) envelope(ctx context.Context, leaf *journal.Leaf, open []journal.Opening, x *audit.Exhibit) {
	i := slices.IndexFunc(open, func(o journal.Opening) bool { return o.Field == journal.FieldDigest })
	if i < 0 {
		return // erased, or past its time
	}
	x.Openings = append(x.Openings, open[i])
	for _, body := range c.candidates(ctx, leaf) {
		if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) == open[i].Value {
			x.Envelope = body
			return
		}
	}
}

// candidates are kept bytes that an entry may be about.
func (c *Console) candidates(ctx context.Context, leaf *journal.Leaf) [][]byte {
	var out [][]byte
	switch leaf.Kind {
	case journal.KindAccepted:
		id, err := uuid.Parse(leaf.Message)
		if err != nil {
			return nil
		}
		switch m, err := c.Store.Load(ctx, id); {
		case err == nil:
			out = append(out, m.Body)
		case !errors.Is(err, adapter.ErrNotFound):
			c.Log.Warn("console: the envelope of a message", "message", leaf.Message, "error", err)
		}
	case journal.KindRefused:
		_, contentType, body, err := c.Store.Refused(ctx, leaf.Incident)
		if err != nil {
			return nil
		}
		out = append(out, body)
		// The entry commits to the root part where there was one.
		if e, err := envelopes.Parse(contentType, body, new(xmltape.Tape), envelopes.Limits{}); err == nil {
			out = append(out, e.Bytes())
		}
	}
	return out
}

// certificate finds a certificate by the digest that an entry names: in the
// envelope, else among the registered ones; nil when neither has it.
func (c *Console) certificate(sum string, envelope []byte, hold func(bytes int) error) []byte {
	if der := certificateIn(sum, envelope, hold); der != nil {
		return der
	}
	for _, p := range c.Gateway().Catalog().Parties() {
		for _, reg := range p.Certificates {
			if hex.EncodeToString(reg.SHA256[:]) == sum {
				return certificateFile(reg.File, reg.SHA256)
			}
		}
	}
	return nil
}

func certificateIn(sum string, envelope []byte, hold func(bytes int) error) []byte {
	if len(envelope) == 0 {
		return nil
	}
	tape := new(xmltape.Tape)
	if err := tape.Parse(envelope, xmltape.Limits{Hold: hold}); err != nil {
		return nil
	}
	for i := range tape.Tokens {
		n := tape.NodeAt(i)
		if !n.Is(signing.Namespace, "X509Certificate") {
			continue
		}
		der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.TrimText()), ""))
		if got := sha256.Sum256(der); err == nil && hex.EncodeToString(got[:]) == sum {
			return der
		}
	}
	return nil
}

func certificateFile(file string, sum [32]byte) []byte {
	src, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	certs, err := signing.ParsePEMCertificates(src)
	if err != nil {
		if cert, err := signing.ParseCertificate(src); err == nil {
			certs = []*signing.Certificate{cert}
		}
	}
	for _, cert := range certs {
		if cert.SHA256 == sum {
			return cert.DER
		}
	}
	return nil
}
