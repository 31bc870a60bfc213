package party

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"

	"mezhved/envelopes"
	"mezhved/signing"
)

// What a bus has answered can be proved by who kept it, and a changed answer cannot.
func TestKeptAnswers(t *testing.T) {
	w := newWorld(t, signing.KeyECDSA256)
	var last Answer
	w.client.HTTP.Transport = keeping{w.client.HTTP.Transport, &last}
	sent, err := w.client.SendRequest(t.Context(), Request{Content: []byte(document)})
	if err != nil {
		t.Fatal(err)
	}
	receipt := last
	if _, err := w.client.PollRequest(t.Context(), Selector{}); err != nil {
		t.Fatal(err)
	}
	delivery := last
	if _, err := w.client.PollRequest(t.Context(), Selector{}); err != nil {
		t.Fatal(err)
	}
	empty := last

	again, err := w.client.ReadReceipt(envelopes.SendRequest, sent.MessageID, receipt)
	if err != nil || again.MessageID != sent.MessageID || again.Certificate == nil || again.Status != envelopes.StatusRequestIsQueued {
		t.Errorf("the kept receipt: %+v, %v", again, err)
	}
	m, err := w.client.ReadMessage(envelopes.GetRequest, delivery)
	if err != nil || m == nil || m.Metadata.MessageID != sent.MessageID || m.SenderCertificate == nil {
		t.Errorf("the kept delivery: %+v, %v", m, err)
	}
	if m, err := w.client.ReadMessage(envelopes.GetRequest, empty); m != nil || err != nil {
		t.Errorf("the kept empty answer: %+v, %v", m, err)
	}
	if _, err := w.client.ReadReceipt(envelopes.SendRequest, NewMessageID(w.now), receipt); err == nil {
		t.Error("the receipt of another message is taken")
	}
	if _, err := w.client.ReadMessage(envelopes.GetResponse, delivery); err == nil {
		t.Error("the answer to another call is taken")
	}
	delivery.Body = bytes.Replace(delivery.Body, []byte("сыновья"), []byte("дочерья"), 1)
	var broken *signing.Error
	if _, err := w.client.ReadMessage(envelopes.GetRequest, delivery); !errors.As(err, &broken) {
		t.Errorf("a changed delivery: %v", err)
	}
}

// keeping keeps the last answer.
type keeping struct {
	http.RoundTripper
	last *Answer
}

func (k keeping) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := k.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	*k.last = Answer{resp.StatusCode, resp.Header.Get("Content-Type"), body}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, err
}
