package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mezhved/envelopes"
)

// A flood is what strangers may send as long as the door takes it: bodies of the
// largest size, each made to cost as much as its kind can.
const floodBody = 16<<20 - 1<<10

// floodKind is one kind of body: how it is announced, and what it is.
type floodKind struct {
	name    string
	header  string
	body    []byte
	slow    bool // the second half trickles
	chunked bool
}

func floodKinds() []floodKind {
	const (
		open  = `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>`
		shut  = `</s:Body></s:Envelope>`
		plain = "Content-Type: text/xml; charset=utf-8\r\n"
	)
	fill := func(unit string) string { return strings.Repeat(unit, (floodBody-4<<10)/len(unit)) }
	numbered := func(form string, size int) string {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			fmt.Fprintf(&b, form, i)
		}
		return b.String()
	}
	xml := func(name, inside string) floodKind {
		return floodKind{name: name, header: plain, body: []byte(open + inside + shut)}
	}
	call := func(name, content, attachments string) floodKind {
		const types, basic = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2", "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2"
		return xml(name, `<t:SendRequestRequest xmlns:t="`+types+`" xmlns:b="`+basic+`"><t:SenderProvidedRequestData Id="SIGNED"><t:MessageID>1</t:MessageID><b:MessagePrimaryContent><c xmlns="urn:c">`+content+
			`</c></b:MessagePrimaryContent></t:SenderProvidedRequestData>`+attachments+`<t:CallerInformationSystemSignature>`+forgedSignature+`</t:CallerInformationSystemSignature></t:SendRequestRequest>`)
	}
	attachments := `<b:AttachmentContentList>` + numbered(`<b:AttachmentContent><b:Id>a%d</b:Id><b:Content>AAAA</b:Content></b:AttachmentContent>`, floodBody-8<<10) + `</b:AttachmentContentList>`
	part := base64.StdEncoding.EncodeToString(make([]byte, 9<<20))
	parts := "--b\r\nContent-Type: application/xop+xml\r\nContent-ID: <r>\r\n\r\n" + open + `<x xmlns:i="http://www.w3.org/2004/08/xop/include"><v><i:Include href="cid:p"/></v></x>` + shut +
		"\r\n--b\r\nContent-ID: <p>\r\nContent-Transfer-Encoding: base64\r\n\r\n" + part + "\r\n--b--\r\n"
	kinds := []floodKind{
		xml("empty elements", fill(`<a b=""/>`)),
		xml("texts between", fill(`<a/>t`)),
		xml("nesting", fill(strings.Repeat("<a>", 90)+strings.Repeat("</a>", 90))),
		xml("attributes", fill("<a"+numbered(` a%d=""`, 1500)+"/>")),
		xml("namespaces", numbered(`<a xmlns:p%[1]d="u:%[1]d"/>`, floodBody-4<<10)),
		xml("one text", fill("text ")),
		xml("references", fill("&amp;")),
		xml("entities", fill("&lol;")),
		call("many Ids", numbered(`<r Id="i%d"/>`, floodBody-8<<10), ""),
		call("attachments", "", attachments),
		{name: "parts", header: "Content-Type: multipart/related; boundary=b; type=\"application/xop+xml\"; start=\"<r>\"\r\n", body: []byte(parts)},
		{name: "gzip", header: plain + "Content-Encoding: gzip\r\n", body: make([]byte, floodBody)},
	}
	kinds = append(kinds, kinds[0], kinds[0])
	kinds[len(kinds)-2].name, kinds[len(kinds)-2].slow = "slow", true
	kinds[len(kinds)-1].name, kinds[len(kinds)-1].chunked = "unannounced", true
	return kinds
}

// forgedSignature has the form of a caller's signature, so that all that is looked
// at before arithmetic is looked at.
var forgedSignature = `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod>` +
	`<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"></ds:SignatureMethod><ds:Reference URI="#SIGNED"><ds:Transforms>` +
	`<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform><ds:Transform Algorithm="urn://smev-gov-ru/xmldsig/transform"></ds:Transform></ds:Transforms>` +
	`<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod><ds:DigestValue>` + base64.StdEncoding.EncodeToString(make([]byte, 32)) + `</ds:DigestValue></ds:Reference></ds:SignedInfo>` +
	`<ds:SignatureValue>` + base64.StdEncoding.EncodeToString(make([]byte, 64)) + `</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>AAAA</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>`

// send sends the body from an address of its own and gives the status of the
// answer, empty where there was none.
func (k *floodKind) send(ctx context.Context, from, address string) string {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return ""
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	length := fmt.Sprintf("Content-Length: %d\r\n", len(k.body))
	if k.chunked {
		length = "Transfer-Encoding: chunked\r\n"
	}
	fmt.Fprintf(conn, "POST /ws HTTP/1.1\r\nHost: %s\r\n%s%s\r\n", address, k.header, length)
	switch {
	case k.chunked:
		for at := 0; at < len(k.body); at += 1 << 20 {
			piece := k.body[at:min(at+1<<20, len(k.body))]
			fmt.Fprintf(conn, "%x\r\n", len(piece))
			if _, err := conn.Write(append(slices.Clip(piece), "\r\n"...)); err != nil {
				break
			}
		}
		io.WriteString(conn, "0\r\n\r\n")
	case k.slow:
		conn.Write(k.body[:len(k.body)/2])
		for at := len(k.body) / 2; at < len(k.body)/2+100_000; at += 1000 {
			select {
			case <-ctx.Done():
				return ""
			case <-time.After(50 * time.Millisecond):
			}
			if _, err := conn.Write(k.body[at:min(at+1000, len(k.body))]); err != nil {
				break
			}
		}
		conn.SetReadDeadline(time.Now().Add(time.Second)) // the rest never comes
	default:
		conn.Write(k.body)
	}
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return ""
	}
	return string(answer[9:])
}

// flood lets so many strangers send at once, each from its own address and each
// again so many times; it gives how often which status was answered, by kind.
func flood(ctx context.Context, kinds []floodKind, address string, strangers, times int) map[string]int {
	answers := map[string]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for n := range strangers {
		all.Go(func() {
			for i := 0; i < times && ctx.Err() == nil; i++ {
				k := &kinds[(n+i)%len(kinds)]
				sctx, cancel := context.WithTimeout(ctx, 30*time.Second)
				status := k.send(sctx, fmt.Sprintf("127.0.%d.%d", 1+n/200, 1+n%200), address)
				cancel()
				mu.Lock()
				answers[k.name+" "+status]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return answers
}

// floodWorld is "mezhved serve" at its default settings.
type floodWorld struct {
	address string
	pid     int
	play    *play
	out     *tail
}

func openFloodWorld(t testing.TB) *floodWorld {
	t.Helper()
	if _, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.ParseIP("127.0.1.1")}); err != nil {
		t.Skipf("this machine has no addresses 127.0.x.x to call from: %v", err)
	}
	w := serveMeasured(t, func(string) {})
	w.call(t)
	return w
}

// serveMeasured serves a demonstration's folder in a process whose memory can be looked
// at; settle may change its configuration, the file that it is given, before.
func serveMeasured(t testing.TB, settle func(config string)) *floodWorld {
	t.Helper()
	dir, address := filepath.Join(t.TempDir(), "demo"), freeAddress(t)
	prepareWorld(t, dir, address)
	config := filepath.Join(dir, "mezhved.yaml")
	settle(config)
	r := launch(t, "mezhved", "serve", "--config", config)
	if err := awaitReady(t.Context(), "http://"+address, patience); err != nil {
		t.Fatalf("%v\n%s", err, r.out)
	}
	w := &floodWorld{address: address, pid: processOf(t, dir), out: r.out}
	var err error
	if w.play, err = newPlay(t.Context(), io.Discard, dir, "http://"+address); err != nil {
		t.Fatal(err)
	}
	return w
}

// call sends a registered party's ordinary message.
func (w *floodWorld) call(t testing.TB) error {
	t.Helper()
	_, err := w.play.send(t.Context(), "MFC01", envelopes.V12, "family-benefits", "1.0.0")
	return err
}

// processOf finds the process of mezhved that works on a folder.
func processOf(t testing.TB, dir string) int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(all) == 0 {
		t.Skip("this machine has no /proc")
	}
	for _, file := range all {
		line, _ := os.ReadFile(file)
		if args := strings.Split(string(line), "\x00"); filepath.Base(args[0]) == "mezhved" && bytes.Contains(line, []byte(dir+"/")) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			return pid
		}
	}
	t.Fatalf("no process of mezhved works on %s", dir)
	return 0
}

// memoryOf reads a line of /proc/PID/status: VmRSS, or VmHWM, the largest VmRSS
// there was.
func (w *floodWorld) memoryOf(t testing.TB, line string) (mb int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.pid))
	if err != nil {
		t.Fatalf("%v\n%s", err, w.out)
	}
	for l := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(l, line+":"); ok {
			var kb int
			fmt.Sscan(rest, &kb)
			return kb >> 10
		}
	}
	t.Fatalf("/proc/%d/status has no %s", w.pid, line)
	return 0
}

// Whatever strangers send, the process stays within 1 GiB at its default settings
// and gives the memory back when they are gone. A registered party's message is
// accepted in the midst of it.
func TestStrangersDoNotFillTheMemory(t *testing.T) {
	t.Parallel()
	w := openFloodWorld(t)
	rest := w.memoryOf(t, "VmRSS")
	kinds := floodKinds()
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	done := make(chan map[string]int, 1)
	go func() { done <- flood(ctx, kinds, w.address, 200, 1) }()
	accepted, again := 0, 0
	var answers map[string]int
	for answers == nil {
		select {
		case answers = <-done:
		case <-time.After(50 * time.Millisecond):
			if err := w.call(t); err == nil {
				accepted++
			} else if again++; again > 20 {
				t.Fatalf("a registered party's messages are not accepted: %v", err)
			}
		}
	}
	if accepted == 0 {
		t.Error("no message of a registered party was accepted meanwhile")
	}
	top := w.memoryOf(t, "VmHWM")
	t.Logf("at rest %d MB, at most %d MB, %d messages of a party accepted meanwhile, %d to be repeated; answers %v", rest, top, accepted, again, answers)
	if top > 1<<10 {
		t.Errorf("the process has taken %d MB, 1024 are the bound", top)
	}
	now := 0
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		now = w.memoryOf(t, "VmRSS")
		if now <= rest+100 {
			return
		}
	}
	t.Errorf("the process still has %d MB, at rest it had %d", now, rest)
}

// BenchmarkFlood is what a registered party notices of 200 strangers who send
// without end: the time of its calls, one after the other. One iteration is one
// call:
//
//	go test -run '^$' -bench Flood -benchtime 500x ./cmd/mezhved
func BenchmarkFlood(b *testing.B) {
	w := openFloodWorld(b)
	kinds := floodKinds()
	ctx, stop := context.WithCancel(b.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		flood(ctx, kinds, w.address, 200, 1<<20)
	}()
	time.Sleep(2 * time.Second)
	l, failed := newLatencies(), 0
	b.ResetTimer()
	for range b.N {
		began := time.Now()
		if err := w.call(b); err != nil {
			failed++
		}
		l.add(time.Since(began))
	}
	b.StopTimer()
	b.ReportMetric(float64(w.memoryOf(b, "VmHWM")), "MB-at-most")
	stop()
	<-over
	b.ReportMetric(l.ms(50), "ms-p50")
	b.ReportMetric(l.ms(99), "ms-p99")
	b.ReportMetric(float64(failed), "failed")
	gone := time.Now()
	for w.memoryOf(b, "VmRSS") > 170 && time.Since(gone) < 2*time.Minute {
		time.Sleep(100 * time.Millisecond)
	}
	b.ReportMetric(time.Since(gone).Seconds(), "s-to-170MB")
}
