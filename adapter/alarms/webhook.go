package alarms

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Call is the body of a webhook.
type Call struct {
	Delivery string    `json:"delivery"` // the same when it is repeated
	Rule     string    `json:"rule"`
	At       time.Time `json:"at"`
	Alarms   []Called  `json:"alarms"`
}

// Called is one alarm of a call.
type Called struct {
	Event     string    `json:"event"` // due-soon, overdue, probe-red, probe-green
	Stage     string    `json:"stage,omitempty"`
	Due       time.Time `json:"due,omitzero"`
	Reached   bool      `json:"reached,omitempty"` // late, and reached meanwhile
	Escalated bool      `json:"escalated,omitempty"`
	MessageID string    `json:"messageId,omitempty"`
	Direction string    `json:"direction,omitempty"`
	Sender    string    `json:"sender,omitempty"`
	Recipient string    `json:"recipient"`
	Service   string    `json:"service"`
	Version   string    `json:"version"`
	Found     string    `json:"found,omitempty"` // of a probe: description, schema, silent, waits, refused, unanswered, rejected, undelivered, answer
	Since     time.Time `json:"since,omitzero"`  // of a probe
}

// Headers of a call.
const (
	HeaderSignature = "Mezhved-Signature"
	HeaderDelivery  = "Mezhved-Delivery"
)

// Sign is the value of HeaderSignature for a body.
func Sign(secret, body []byte, at time.Time) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	m := hmac.New(sha256.New, secret)
	io.WriteString(m, seconds+".")
	m.Write(body)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(m.Sum(nil))
}

// hooks follows no redirect: the body is signed for who was named.
var hooks = &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// statusError says that a webhook did not take a call.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("the answer is %d", int(e)) }

func call(ctx context.Context, target string, secret []byte, delivery string, list []Alarm, now time.Time) error {
	c := Call{Delivery: delivery, Rule: list[0].Rule, At: now.UTC()}
	for _, a := range list {
		e := &a.Event
		one := Called{Event: string(e.Kind), Stage: e.Stage, Due: e.Deadline, Reached: e.Outcome == "reached", Escalated: a.Escalated,
			MessageID: e.MessageID, Direction: e.Direction, Sender: e.Sender, Recipient: e.Recipient, Service: e.Service, Version: e.Version}
		if ofProbe(e.Kind) {
			one.Found, one.Since = e.Outcome, e.Time.UTC()
		}
		c.Alarms = append(c.Alarms, one)
	}
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "mezhved")
	r.Header.Set(HeaderDelivery, delivery)
	r.Header.Set(HeaderSignature, Sign(secret, body, now))
	a, err := hooks.Do(r)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	io.Copy(io.Discard, io.LimitReader(a.Body, 64<<10)) // so that the connection can be used again
	if a.StatusCode < 200 || a.StatusCode > 299 {
		return statusError(a.StatusCode)
	}
	return nil
}

// kindOf is what the log may have of an error: no address, no word of another server.
func kindOf(err error) string {
	var status statusError
	var wrong *url.Error
	var dial *net.OpError
	switch {
	case errors.As(err, &status):
		return status.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.As(err, &dial):
		return "no connection (" + dial.Op + ")"
	case errors.As(err, &wrong):
		return "the call failed"
	}
	return "it was not taken"
}
