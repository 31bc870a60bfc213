package papers

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// Bounds of what is read of one file: no door of a bus lets more tokens in, and what it
// wraps a message in has few.
const (
	maxPaper  = 64 << 20
	maxTokens = 2_100_000
)

// limitsFor takes all of a body, whose size was bounded, and no more tokens than that.
func limitsFor(body []byte) envelopes.Limits {
	return envelopes.Limits{XML: xmltape.Limits{Size: 2*len(body) + 1<<20, Tokens: maxTokens}}
}

// Bus says whose signature makes a receipt.
type Bus struct {
	// Certificates are the bus's own, all that it has had.
	Certificates []*signing.Certificate
	// Roots and Intermediates, when there are roots, must have issued the certificate
	// that signed, as of the time of the receipt.
	Roots, Intermediates []*signing.Certificate
}

// Verifier proves the bus's signatures.
func (b *Bus) Verifier() (*signing.Verifier, error) {
	if len(b.Certificates) == 0 {
		return nil, errors.New("no certificate of the bus: without one anybody could have written the receipts")
	}
	trust, err := signing.NewTrust(signing.TrustOptions{Roots: b.Roots, Intermediates: b.Intermediates, Registered: func(c *signing.Certificate) bool {
		return slices.ContainsFunc(b.Certificates, func(known *signing.Certificate) bool { return known.SHA256 == c.SHA256 })
	}})
	if err != nil {
		return nil, err
	}
	return signing.NewVerifier(signing.Options{Trust: trust})
}

// Receipt is the bus's signed word that something has happened to a message, and so
// its promise that the log says so: see package journal.
type Receipt struct {
	File      string       // in the folder
	Promises  journal.Kind // accepted: the message was taken; delivered: it was handed out
	MessageID string
	Sender    string // by their mnemonics, as far as the bus has signed them
	Recipient string
	At        time.Time            // when, by the bus's word
	Signed    *signing.Certificate // whose key signed
}

// Unproven is a file that claims to be the bus's word and was not proved to be.
type Unproven struct {
	File string
	Err  error
}

// Sent is an envelope that the party has kept as it sent it.
type Sent struct {
	File      string // in the folder
	MessageID string
	Digest    string // hex SHA-256 of the envelope, as an entry commits to it
}

// Folder is what a party has kept.
type Folder struct {
	Receipts []Receipt
	Sent     []Sent
	Unproven []Unproven
	Others   int       // files that are none of the bus's signed answers, and nothing that was sent
	Hidden   int       // folders whose names begin with a dot: they are passed by
	Read     time.Time // when it was read, by the reader's clock

	// Evidence are bundles, verified under the policy that the receipts are held under:
	// they open what entries commit to as the envelopes that were accepted.
	Evidence []*audit.Evidence
}

// ReadReceipts reads every file in dir, and in the folders in it, that is an answer of
// the bus or a message that was sent: as mezhved keeps them, or as any client has
// written down the body that it sent or received, MIME parts included. What is neither
// is counted and passed by.
func ReadReceipts(dir string, bus *Bus) (*Folder, error) {
	verifier, err := bus.Verifier()
	if err != nil {
		return nil, err
	}
	f := &Folder{Read: time.Now()}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && strings.HasPrefix(e.Name(), ".") && path != dir: // unfinished, or a tool's own
			f.Hidden++
			return fs.SkipDir
		case e.IsDir():
			return nil
		case !e.Type().IsRegular():
			f.Others++
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Size() > maxPaper {
			f.Others++
			return nil
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		r, err := ReadReceipt(body, verifier)
		switch sent := readSent(body); {
		case errors.Is(err, ErrNoReceipt) && sent != nil:
			sent.File = name
			f.Sent = append(f.Sent, *sent)
		case errors.Is(err, ErrNoReceipt):
			f.Others++
		case err != nil:
			f.Unproven = append(f.Unproven, Unproven{name, err})
		default:
			r.File = name
			f.Receipts = append(f.Receipts, *r)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// ErrNoReceipt says that a file is no answer of a bus, or one in which it signs
// nothing about a message: a refusal, an empty queue.
var ErrNoReceipt = errors.New("no signed answer about a message")

// ReadReceipt proves one answer. The certificate is judged as of the time that the
// receipt states: what a bus signed holds after its certificate has run out.
func ReadReceipt(body []byte, verifier *signing.Verifier) (*Receipt, error) {
	kind, body := contentType(body)
	answer, err := envelopes.ParseAnswer(kind, body, new(xmltape.Tape), limitsFor(body))
	if err != nil || answer.Fault() != nil {
		return nil, ErrNoReceipt
	}
	read := func(p envelopes.Proven) (*Receipt, error) {
		if op := answer.Operation(); op == envelopes.SendRequest || op == envelopes.SendResponse {
			m, err := envelopes.DecodeReceipt(answer, p)
			if err != nil {
				return nil, err
			}
			return &Receipt{Promises: journal.KindAccepted, MessageID: m.MessageID, Sender: m.Sender.Mnemonic, Recipient: m.Recipient.Mnemonic, At: m.Sent}, nil
		}
		d, err := envelopes.DecodeDelivery(answer, p)
		if err != nil {
			return nil, err
		}
		m := d.Metadata
		return &Receipt{Promises: journal.KindDelivered, MessageID: m.MessageID, Recipient: m.Recipient.Mnemonic, At: m.Delivered}, nil
	}
	signature, target := answer.Signed()
	switch answer.Operation() {
	case envelopes.SendRequest, envelopes.SendResponse:
	case envelopes.GetRequest, envelopes.GetResponse:
		if answer.Empty() {
			return nil, ErrNoReceipt
		}
	default:
		return nil, ErrNoReceipt
	}
	switch {
	case !target.Valid():
		return nil, ErrNoReceipt
	case !signature.Valid():
		return nil, errors.New("the bus has not signed it")
	}
	// Its own time says as of when the certificate is judged; only what is proved
	// then is used.
	claimed, err := read(unproved{target})
	if err != nil {
		return nil, err
	}
	if claimed.MessageID == "" || claimed.At.IsZero() {
		return nil, errors.New("it names no message, or no time")
	}
	signed, err := verifier.VerifyAt(signature, target, claimed.At)
	if err != nil {
		return nil, err
	}
	r, err := read(signed)
	if err != nil {
		return nil, err
	}
	r.Signed = signed.Certificate()
	return r, nil
}

// readSent reads a call that brings a message; nil when it is none. Whose it is does not
// matter: the party says that it has sent it.
func readSent(body []byte) *Sent {
	kind, body := contentType(body)
	call, err := envelopes.Parse(kind, body, new(xmltape.Tape), limitsFor(body))
	if err != nil {
		return nil
	}
	_, target := call.Caller()
	id := ""
	switch call.Operation() {
	case envelopes.SendRequest:
		if c, _ := envelopes.DecodeSendRequest(call, unproved{target}); c != nil {
			id = c.MessageID
		}
	case envelopes.SendResponse:
		if c, _ := envelopes.DecodeSendResponse(call, unproved{target}); c != nil {
			id = c.MessageID
		}
	}
	if id == "" {
		return nil
	}
	return &Sent{MessageID: id, Digest: fmt.Sprintf("%x", sha256.Sum256(call.Bytes()))}
}

// unproved is for reading what has yet to be proved.
type unproved struct{ n xmltape.Node }

func (u unproved) Element() xmltape.Node { return u.n }

// contentType tells how a body was packed, which HTTP said in a header that is gone.
func contentType(body []byte) (kind string, _ []byte) {
	body = bytes.TrimLeft(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), "\r\n\t ")
	line, _, _ := bytes.Cut(body, []byte("\n"))
	line = bytes.TrimRight(line, "\r\t ")
	if boundary, ok := bytes.CutPrefix(line, []byte("--")); ok && len(boundary) > 0 && !bytes.ContainsAny(boundary, "\"\\") {
		return fmt.Sprintf(`multipart/related; type="application/xop+xml"; boundary="%s"; start-info="text/xml"`, boundary), body
	}
	return envelopes.TextXML, body
}
