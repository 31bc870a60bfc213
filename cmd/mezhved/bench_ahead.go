package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mezhved/adapter/party"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// What a generator has to compute is no part of what a gateway takes. So a run that is
// short enough signs its calls before the clock starts, all but the answers of providers,
// which bear what their requests bore, and keeps what the bus has signed, to prove it
// when the clock has stopped.
const (
	// aheadFor is how long such a run is at most: its polls are signed some seconds
	// before they are made, and have to be younger than limits.pollAge (five minutes).
	aheadFor = 30 * time.Second
	// aheadPerSecond is for how many exchanges calls are signed, and aheadPatience how long
	// that takes at most: RSA is slow. Where there are more, theirs are signed when they
	// are made.
	aheadPerSecond = 1000
	aheadPatience  = 15 * time.Second
	// keptBytes is how much of answers is kept; what comes beyond it is proved at once.
	keptBytes = 512 << 20
)

// ahead are calls that were signed before they are made. Nil: there are none.
type ahead struct {
	exchanges []exchange
	polls     map[envelopes.Operation][]pressed

	taken  atomic.Int64
	polled [2]atomic.Int64 // requests, responses
}

// exchange is one exchange with those of its calls that were signed ahead; the others,
// which are empty, are signed when they are made.
type exchange struct {
	id, reply                        string // MessageIDs of the request and of its answer
	request, ackRequest, ackResponse pressed
	sent                             time.Time
}

// next gives an exchange that has not been made.
func (a *ahead) next() *exchange {
	if a != nil {
		if n := int(a.taken.Add(1)); n <= len(a.exchanges) {
			return &a.exchanges[n-1]
		}
	}
	now := time.Now()
	return &exchange{id: party.NewMessageID(now), reply: party.NewMessageID(now)}
}

// poll gives a signed poll, empty when they have all been made.
func (a *ahead) poll(op envelopes.Operation) pressed {
	if a == nil {
		return pressed{}
	}
	at := &a.polled[0]
	if op == envelopes.GetResponse {
		at = &a.polled[1]
	}
	if n := int(at.Add(1)); n <= len(a.polls[op]) {
		return a.polls[op][n-1]
	}
	return pressed{}
}

// signExchanges signs the calls of n exchanges, or of fewer, on all cores.
func (b *bed) signExchanges(ctx context.Context, n int) (*ahead, error) {
	content, err := b.sample("request")
	if err != nil {
		return nil, err
	}
	// Some polls find nothing.
	polls := n + n/10
	a := &ahead{exchanges: make([]exchange, n), polls: map[envelopes.Operation][]pressed{
		envelopes.GetRequest: make([]pressed, polls), envelopes.GetResponse: make([]pressed, polls)}}
	now := time.Now()
	errs := make([]error, runtime.NumCPU())
	var at atomic.Int64
	var signers sync.WaitGroup
	for w := range errs {
		signers.Go(func() {
			like := map[envelopes.Operation][]byte{}
			sign := func(of string, op envelopes.Operation, d envelopes.Draft) (p pressed) {
				if errs[w] != nil {
					return p
				}
				var body []byte
				body, errs[w] = signing.SignInto(ctx, d.XML, d.SignID, d.Slot, b.play.signers[of])
				if like[op] == nil {
					like[op] = body
				}
				return press(like[op], body)
			}
			var tape xmltape.Tape
			errs[w] = tape.Parse(content, xmltape.Limits{})
			for errs[w] == nil && time.Since(now) < aheadPatience {
				i := int(at.Add(1)) - 1
				if i >= polls {
					return
				}
				// No two polls are the same: their times differ.
				call := envelopes.PollCall{Timestamp: now.Add(-time.Duration(i) * time.Millisecond)}
				for op, mnemonic := range map[envelopes.Operation]string{envelopes.GetRequest: benchProvider, envelopes.GetResponse: benchSender} {
					call.Operation = op
					a.polls[op][i] = sign(mnemonic, op, call.Build(envelopes.V12))
				}
				if i >= n {
					continue
				}
				e := &a.exchanges[i]
				e.id, e.reply = party.NewMessageID(now), party.NewMessageID(now)
				request := envelopes.SendRequestCall{MessageID: e.id, Content: tape.Root()}
				e.request = sign(benchSender, envelopes.SendRequest, request.Build(envelopes.V12, false))
				ack := envelopes.AckCall{MessageID: e.id, Accepted: true}
				e.ackRequest = sign(benchProvider, envelopes.Ack, ack.Build(envelopes.V12))
				ack.MessageID = e.reply
				e.ackResponse = sign(benchSender, envelopes.Ack, ack.Build(envelopes.V12))
			}
		})
	}
	signers.Wait()
	done := min(int(at.Load()), polls) // whoever has begun one has ended it
	a.exchanges = a.exchanges[:min(done, n)]
	for op := range a.polls {
		a.polls[op] = a.polls[op][:done]
	}
	return a, errors.Join(errs...)
}

// pressed is a document that is kept as what it differs in from another of its kind:
// signed calls of one kind differ in some ids, digests and signatures.
type pressed struct {
	like  []byte
	delta []byte // pairs of how many bytes are the same, and what stands there behind them
}

// sameRun is how many bytes have to be the same to end what differs.
const sameRun = 8

// press keeps a document by one that it is like.
func press(like, document []byte) pressed {
	if len(like) != len(document) {
		return pressed{like: document}
	}
	var delta []byte
	for done := 0; ; {
		from := done
		for from < len(like) && like[from] == document[from] {
			from++
		}
		if from == len(like) {
			return pressed{like, bytes.Clone(delta)}
		}
		to := from
		for same := 0; to < len(like) && same < sameRun; to++ {
			if same++; like[to] != document[to] {
				same = 0
			}
		}
		delta = binary.AppendUvarint(delta, uint64(from-done))
		delta = binary.AppendUvarint(delta, uint64(to-from))
		delta = append(delta, document[from:to]...)
		done = to
	}
}

// write writes the document over what stands in out.
func (p pressed) write(out []byte) []byte {
	out = append(out[:0], p.like...)
	for delta, at := p.delta, 0; len(delta) > 0; {
		same, n := binary.Uvarint(delta)
		differs, m := binary.Uvarint(delta[n:])
		at += int(same)
		at += copy(out[at:], delta[n+m:][:differs])
		delta = delta[n+m+int(differs):]
	}
	return out
}

// caller makes the calls of one party that were signed ahead. It is for one goroutine.
type caller struct {
	*party.Client
	call    []byte       // the one that is made
	content xmltape.Tape // of answers
	bound   map[envelopes.Operation]http.Header
}

func (x *exchangeLoad) party(n int, mnemonic string) *caller {
	c := &caller{Client: x.bed.client(n, mnemonic), bound: map[envelopes.Operation]http.Header{}}
	c.HTTP = x.client
	for _, op := range []envelopes.Operation{envelopes.SendRequest, envelopes.SendResponse, envelopes.GetRequest, envelopes.GetResponse, envelopes.Ack} {
		kind, _ := envelopes.Package(nil, nil, false)
		c.bound[op] = http.Header{"Accept": {"text/xml"}, "Content-Type": {kind}, "Soapaction": {`"urn:` + op.String() + `"`}, "User-Agent": {"mezhved"}}
	}
	c.bound[envelopes.GetRequest]["Prefer"] = []string{pollWish}
	c.bound[envelopes.GetResponse]["Prefer"] = []string{pollWish}
	return c
}

// say makes a call that was signed, once.
func (c *caller) say(ctx context.Context, op envelopes.Operation, call []byte) (a party.Answer, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(call))
	if err != nil {
		return a, err
	}
	req.Header = c.bound[op]
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	a = party.Answer{Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type")}
	if n := resp.ContentLength; n < 0 || n > 1<<20 {
		a.Body, err = io.ReadAll(resp.Body)
	} else {
		a.Body = make([]byte, n)
		if _, err = io.ReadFull(resp.Body, a.Body); err == nil {
			_, err = resp.Body.Read(nil) // its end is seen, and the connection free
		}
		if err == io.EOF {
			err = nil
		}
	}
	return a, err
}

// glimpse is what a generator needs of an answer to go on. It reads it where it usually
// stands; what it has read is held against what is proved later.
type glimpse struct{ message, replyTo, original string }

// skim reads it of a delivery. ok: everything was found.
func skim(op envelopes.Operation, answer []byte) (s glimpse, ok bool) {
	_, metadata, _ := bytes.Cut(answer, []byte("MessageMetadata"))
	s.message = leaf(metadata, "MessageId")
	if op == envelopes.GetRequest {
		s.replyTo = leaf(answer, "ReplyTo")
		return s, s.message != "" && s.replyTo != ""
	}
	s.original = leaf(answer, "OriginalMessageId")
	return s, s.message != "" && s.original != ""
}

// leaf is the text of the first element of this local name without attributes; empty: there
// is none, or it is not written plainly.
func leaf(xml []byte, name string) string {
	_, behind, ok := bytes.Cut(xml, []byte(":"+name+">"))
	if !ok {
		_, behind, ok = bytes.Cut(xml, []byte("<"+name+">"))
	}
	end := bytes.IndexByte(behind, '<')
	if !ok || end < 0 {
		return ""
	}
	text := strings.TrimSpace(string(behind[:end]))
	if strings.ContainsAny(text, "&\r") {
		return ""
	}
	return text
}

// answered is an answer that the bus has signed, with what was read of it before that was
// proved.
type answered struct {
	of     *party.Client
	op     envelopes.Operation
	answer party.Answer
	glimpse
}

// errUnlike says that a signed answer says something else than what was read of it.
var errUnlike = errors.New("what was read of an answer is not what the bus has signed")

// prove proves the bus's signature, and that it stands over what was read.
func (a *answered) prove() error {
	switch a.op {
	case envelopes.SendRequest, envelopes.SendResponse:
		_, err := a.of.ReadReceipt(a.op, a.glimpse.message, a.answer)
		return err
	}
	m, err := a.of.ReadMessage(a.op, a.answer)
	if err == nil && (m == nil || glimpseOf(m) != a.glimpse) {
		err = errUnlike
	}
	return err
}

// glimpseOf is what a proved delivery says.
func glimpseOf(m *party.Message) glimpse {
	return glimpse{m.Metadata.MessageID, m.ReplyTo, m.OriginalMessageID}
}

// proofs are answers that are proved when the clock has stopped. Nil: none are kept.
type proofs struct {
	mu    sync.Mutex
	list  []answered
	bytes int
}

// take keeps an answer, or says that it has to be proved at once.
func (k *proofs) take(a answered) bool {
	if k == nil {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.bytes+len(a.answer.Body) > keptBytes {
		return false
	}
	k.bytes += len(a.answer.Body)
	k.list = append(k.list, a)
	return true
}

// prove proves all, on all cores, and gives each that does not hold to wrong.
func (k *proofs) prove(wrong func(error)) {
	if k == nil {
		return
	}
	var at atomic.Int64
	var provers sync.WaitGroup
	for range runtime.NumCPU() {
		provers.Go(func() {
			for i := at.Add(1) - 1; i < int64(len(k.list)); i = at.Add(1) - 1 {
				if err := k.list[i].prove(); err != nil {
					wrong(err)
				}
			}
		})
	}
	provers.Wait()
}
