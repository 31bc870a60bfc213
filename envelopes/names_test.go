package envelopes

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestStatusesAreWordsOfTheVersion: whatever word is given, what is written is
// one that the version's schema knows.
func TestStatusesAreWordsOfTheVersion(t *testing.T) {
	all := []Status{StatusDoesNotExist, StatusRequestIsQueued, StatusRequestIsAcceptedBySmev, StatusRequestIsRejectedBySmev, StatusRequestIsProcessed,
		StatusUnderProcessing, StatusResponseIsQueued, StatusResponseIsAcceptedBySmev, StatusResponseIsRejectedBySmev, StatusResponseIsProcessed,
		StatusCancelled, StatusResponseIsDelivered, StatusMessageIsArchived, StatusMessageIsDelivered}
	for _, v := range Versions {
		b, err := os.ReadFile(filepath.Join("schemas", v.String(), "smev-message-exchange-basic-"+v.String()+".xsd"))
		if err != nil {
			t.Fatal(err)
		}
		_, words, _ := strings.Cut(string(b), `name="InteractionStatusType"`)
		words, _, _ = strings.Cut(words, "</xs:simpleType>")
		known := func(s Status) bool { return strings.Contains(words, `value="`+string(s)+`"`) }
		for _, s := range all {
			if got, want := s.In(v), known(s); got != want {
				t.Errorf("%s in %s: %v, in the schema %v", s, v, got, want)
			}
			if got := s.as(v); !known(got) || s.In(v) && got != s {
				t.Errorf("%s in %s is written as %s", s, v, got)
			}
		}
		if got := strings.Count(words, "<xs:enumeration"); got != countIn(all, v) {
			t.Errorf("%s: the schema has %d words, this package %d", v, got, countIn(all, v))
		}
	}
	for from, want := range map[Status]Status{
		StatusMessageIsDelivered: StatusResponseIsDelivered, StatusResponseIsQueued: StatusRequestIsQueued,
		StatusRequestIsProcessed: StatusUnderProcessing, StatusResponseIsRejectedBySmev: StatusRequestIsRejectedBySmev,
	} {
		if got := from.as(V11); got != want {
			t.Errorf("%s in 1.1 is written as %s, want %s", from, got, want)
		}
	}
}

func countIn(all []Status, v Version) (n int) {
	for _, s := range all {
		if s.In(v) {
			n++
		}
	}
	return n
}

func TestNames(t *testing.T) {
	for _, s := range []string{"a", "_", "Подпись", "SIGNED_BY-1.2", "é", "ab\u0301", "\u2070", "字", "№"} {
		if !isNCName(s) {
			t.Errorf("%q is a name", s)
		}
	}
	for _, s := range []string{"", "1", "-a", ".a", "a:b", "a b", "a\u00d7", "\u0301a", "\u2000", "a\xff", "a/b"} {
		if isNCName(s) {
			t.Errorf("%q is no name", s)
		}
	}
	for _, v := range Versions {
		if got, ok := VersionOf(v.String()); !ok || got != v {
			t.Errorf("version %s reads back as %s", v, got)
		}
		for _, op := range Operations {
			if got, ok := OperationOf(op.String()); !ok || got != op {
				t.Errorf("operation %s reads back as %s", op, got)
			}
		}
	}
	if Version(9).String() != "unknown version" || Operation(99).String() != "unknown operation" || Operation(0).In(V11) {
		t.Error("what is none has a name")
	}
}

func TestTakesMultipart(t *testing.T) {
	for _, c := range []struct {
		kind, accept string
		want         bool
	}{
		{"text/xml", "", false},
		{"text/xml", "*/*", false},
		{`Multipart/Related; boundary="b"`, "", true},
		{"text/xml", "text/xml, multipart/related", true},
	} {
		if got := TakesMultipart(http.Header{"Content-Type": {c.kind}, "Accept": {c.accept}}); got != c.want {
			t.Errorf("%q, %q: %v", c.kind, c.accept, got)
		}
	}
}

func TestMessagesInEnglish(t *testing.T) {
	err := parse(t, "text/xml", []byte(requestOf(V12, "\n<t:X/>"))).Check()
	want := "SendRequest 1.2: line 3, column 1: cvc-complex-type.2.4.a: /e:Envelope/e:Body/t:SendRequestRequest/t:X: found «{urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2}X», expected {urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2}SenderProvidedRequestData"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if _, err := ReadRouting([]byte(`<a/>`)); err == nil {
		t.Error("a document that is no routing block was read as one")
	}
	if _, err := ReadRouting([]byte(`<a`)); err == nil {
		t.Error("a document that is no XML was read as a routing block")
	}
}
