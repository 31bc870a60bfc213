package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"runtime"
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
// which bear what their requests bore; and every run keeps what the bus has signed, to
// prove it when the clock has stopped.
const (
	// aheadFor is how long such a run is at most: its polls are signed some seconds
	// before they are made, and have to be younger than limits.pollAge (five minutes).
	aheadFor = 30 * time.Second
	// aheadPerSecond is for how many exchanges calls are signed, and aheadPatience how long
	// that takes at most: RSA is slow. Where there are more, theirs are signed when they
	// are made.
	aheadPerSecond = 1000
	aheadPatience  = 15 * time.Second
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
	quick := map[string]signing.Signer{}
	for of, signer := range b.play.signers {
		quick[of] = signing.Repeatable(signer)
	}
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
				body, errs[w] = signing.SignInto(ctx, d.XML, d.SignID, d.Slot, quick[of])
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
				for op, mnemonic := range map[envelopes.Operation]string{envelopes.GetRequest: benchProvider, envelopes.GetResponse: benchSender} {
					a.polls[op][i] = sign(mnemonic, op, pollNow(op))
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
	var room [1 << 10]byte
	delta := room[:0]
	for done := 0; ; {
		from := done
		for ; from+8 <= len(like) && binary.NativeEndian.Uint64(like[from:]) == binary.NativeEndian.Uint64(document[from:]); from += 8 {
		}
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
