package adapter_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
	"mezhved/envelopes"
)

// TestPrefixVectors sends every vector of testdata/attacks/prefix as it was signed,
// and once more as somebody on the way has changed it: the signature holds over
// both. What is taken as signed means one thing; changed, it is refused or the same.
func TestPrefixVectors(t *testing.T) {
	t.Parallel()
	const dir = "../testdata/attacks/prefix/"
	w := adaptertest.Start(t)
	w.Write("services/orders/1.0/service.yaml", "title: Поручения\nroot: {namespace: 'urn://mezhved.test/one', request: Order, response: Done}\nproviders: REGISTRY\ncallers: MUNI\n")
	for _, name := range []string{"one.xsd", "two.xsd"} {
		b, err := os.ReadFile(dir + name)
		if err != nil {
			t.Fatal(err)
		}
		w.Write("services/orders/1.0/"+name, string(b))
	}
	w.Reload()
	files, err := filepath.Glob(dir + "*.xml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%s: %d vectors, %v", dir, len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".xml"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			header, rest, _ := strings.Cut(string(raw), "\n")
			change, content, _ := strings.Cut(rest, "\n")
			signed, rebound, ok := strings.Cut(strings.Trim(header, "<!->; \r"), "; rebound: ")
			signed, is := strings.CutPrefix(signed, "signed: ")
			from, to, on := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(change, "<!-- on the way: "), " -->"), " becomes ")
			content = strings.TrimSpace(content)
			if !ok || !is || !on || !strings.Contains(content, from) {
				t.Fatalf("header %q, %q", header, change)
			}
			send := func(want string, tamper func([]byte) []byte) {
				t.Helper()
				r := adaptertest.Request{Content: content, Tamper: tamper}
				if want != "accept" {
					refused{fault: envelopes.InvalidContent, rule: want, place: true}.check(t, w, w.Party("MUNI").Send(r))
					return
				}
				id := accepted(t, w.Party("MUNI").Send(r)).Receipt.MessageID
				decided := ""
				if rebound != "accept" {
					decided = "unsigned-prefix"
				}
				events, err := w.Store.Trace(context.Background(), id)
				if err != nil {
					t.Fatal(err)
				}
				if got := events[0]; got.Kind != journal.KindAccepted || got.Rule != decided {
					t.Errorf("the journal says %s %q, want accepted %q", got.Kind, got.Rule, decided)
				}
			}
			send(signed, nil)
			send(rebound, func(b []byte) []byte {
				if !bytes.Contains(b, []byte(from)) {
					t.Fatalf("%s is not in the envelope:\n%s", from, b)
				}
				return bytes.Replace(b, []byte(from), []byte(to), 1)
			})
		})
	}
	w.Check()
}
