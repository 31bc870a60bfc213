package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"mezhved/adapter/console"
	"mezhved/adapter/party"
)

// whys are the reasons that a run has seen, with how often: of calls that failed, and of
// messages that did not come to their end.
type whys struct {
	mu   sync.Mutex
	seen whysSeen
}

func (w *whys) add(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen == nil {
		w.seen = whysSeen{}
	}
	w.seen[why]++
}

// failed notes why a call failed. Calls that failed alike have one reason: what names the
// call is left out.
func (w *whys) failed(err error) {
	var fault *party.FaultError
	var status *party.HTTPError
	var address *url.Error
	var of *net.OpError
	switch {
	case errors.As(err, &fault):
		w.add(fmt.Sprintf("a call was refused: %s %s, HTTP %d", fault.Fault.Kind, fault.Fault.Code, fault.Status))
	case errors.As(err, &status):
		why := fmt.Sprintf("a call was answered HTTP %d", status.Status)
		if status.Status == http.StatusNotFound || status.Status == http.StatusMethodNotAllowed {
			why += ": no gateway is there, whose parties call " + partyDoor
		}
		w.add(why)
	case errors.As(err, &of) && of.Source != nil: // each connection has a source of its own
		alike := *of
		alike.Source = nil
		w.add("a call had no answer: " + alike.Error())
	case errors.As(err, &address):
		w.add("a call had no answer: " + address.Err.Error())
	default:
		w.add("a call failed: " + err.Error())
	}
}

// mostAsked is of how many messages that did not come the journal is asked.
const mostAsked = 200

// lost asks the journal where messages stand that did not come to their end. answered says
// that an answer was awaited, and not the message itself.
func (w *whys) lost(ctx context.Context, b *bed, ids []string) {
	for i, id := range ids {
		if i >= mostAsked {
			w.add(fmt.Sprintf("not asked for: beyond the first %d", mostAsked))
			continue
		}
		text, err := b.get(ctx, "/api/v1/journal/trace/"+url.PathEscape(id))
		var t console.Trace
		if err == nil {
			err = json.Unmarshal(text, &t)
		}
		switch {
		case err != nil && strings.Contains(err.Error(), " 404 "):
			w.add("the journal has nothing of it: it was not accepted")
		case err != nil:
			w.add("the journal does not say where it stands: " + err.Error())
		default:
			w.add(stands(&t))
		}
	}
}

// stands says where the messages of an exchange stand.
func stands(t *console.Trace) string {
	var list []string
	for _, m := range t.Messages {
		list = append(list, m.Direction+" "+m.Stands)
	}
	if len(list) == 0 {
		return "it was refused"
	}
	return "it stands: " + strings.Join(list, ", ")
}

// refused notes an answer that was no receipt.
func (w *whys) refused(status int, answer []byte) {
	fault := "no fault"
	if _, rest, ok := bytes.Cut(answer, []byte("faultstring>")); ok {
		text, _, _ := bytes.Cut(rest, []byte("<"))
		fault = strings.ToValidUTF8(string(text[:min(len(text), 200)]), "")
	}
	w.add(fmt.Sprintf("a call was refused: HTTP %d, %s", status, fault))
}

// whysSeen are reasons with how often they were seen.
type whysSeen map[string]int

// all are the reasons as they stand now; nil when there are none.
func (w *whys) all() whysSeen {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.seen)
}

// String is one line for each reason, the one that was seen most first.
func (seen whysSeen) String() string {
	var b strings.Builder
	for _, why := range slices.SortedFunc(maps.Keys(seen), func(a, b string) int { return cmp.Or(seen[b]-seen[a], strings.Compare(a, b)) }) {
		fmt.Fprintf(&b, "%6d  %s\n", seen[why], console.Visible(why))
	}
	return b.String()
}
