package main

import (
	"bytes"
	"errors"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"

	"mezhved/adapter/party"
	"mezhved/envelopes"
)

// keptBytes is how much of answers is kept; what comes beyond it is proved at once.
const keptBytes = 1 << 30

// answered is an answer that the bus has signed, with what was read of it before that was
// proved.
type answered struct {
	of   *party.Client
	op   envelopes.Operation
	kind string // of content
	pressed
	glimpse
}

// errUnlike says that a signed answer says something else than what was read of it.
var errUnlike = errors.New("what was read of an answer is not what the bus has signed")

// prove proves the bus's signature, and that it stands over what was read. room is for the
// answer.
func (a *answered) prove(room *[]byte) error {
	*room = a.write(*room)
	answer := party.Answer{Status: http.StatusOK, ContentType: a.kind, Body: *room}
	switch a.op {
	case envelopes.SendRequest, envelopes.SendResponse:
		_, err := a.of.ReadReceipt(a.op, a.message, answer)
		return err
	}
	m, err := a.of.ReadMessage(a.op, answer)
	if err == nil && (m == nil || glimpseOf(m) != a.glimpse) {
		err = errUnlike
	}
	return err
}

// glimpseOf is what a proved delivery says.
func glimpseOf(m *party.Message) glimpse {
	return glimpse{m.Metadata.MessageID, m.ReplyTo, m.OriginalMessageID}
}

// proofs are answers that are proved when the clock has stopped, kept as what they differ
// in from others of their kind and length.
type proofs struct {
	mu    sync.Mutex
	likes map[answerKind][]byte
	list  []answered
	bytes int
}

type answerKind struct {
	op     envelopes.Operation
	length int
}

// take keeps an answer, or says that it has to be proved at once.
func (k *proofs) take(of *party.Client, op envelopes.Operation, a party.Answer, s glimpse) bool {
	kind := answerKind{op, len(a.Body)}
	k.mu.Lock()
	full, like := k.bytes > keptBytes, k.likes[kind]
	if !full && like == nil {
		if k.likes == nil {
			k.likes = map[answerKind][]byte{}
		}
		like = bytes.Clone(a.Body)
		k.likes[kind] = like
		k.bytes += len(like)
	}
	k.mu.Unlock()
	if full {
		return false
	}
	one := answered{of, op, a.ContentType, press(like, a.Body), s}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.bytes += len(one.delta)
	k.list = append(k.list, one)
	return true
}

// prove proves all, on all cores, and gives each that does not hold to wrong.
func (k *proofs) prove(wrong func(error)) {
	var at atomic.Int64
	var provers sync.WaitGroup
	for range runtime.NumCPU() {
		provers.Go(func() {
			var room []byte
			for i := at.Add(1) - 1; i < int64(len(k.list)); i = at.Add(1) - 1 {
				if err := k.list[i].prove(&room); err != nil {
					wrong(err)
				}
			}
		})
	}
	provers.Wait()
}
