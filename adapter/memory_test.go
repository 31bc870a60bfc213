package adapter_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/yamlfile"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
)

// However many strangers hold what they can, ordinary calls find room, and so do
// large ones of those who are known.
func TestMemoryKeepsRoom(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	m := adapter.NewMemory(adapter.LimitsConfig{Memory: 64 * mb, Body: 4 * mb})
	ctx := t.Context()
	over, cancel := context.WithCancel(ctx)
	cancel() // who would have to wait is told at once
	let := func(name string, h *adapter.Holding, n int64, want error) *adapter.Holding {
		t.Helper()
		if err := h.Hold(over, n); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
		return h
	}
	one := let("a stranger", m.Begin("10.0.0.1", false), 15*mb, nil)
	let("the share of one caller", m.Begin("10.0.0.1", false), 2*mb, adapter.ErrNoRoom)
	let("another stranger", m.Begin("10.0.0.2", false), 15*mb, nil)
	let("half of it is held", m.Begin("10.0.0.3", false), 3*mb, adapter.ErrNoRoom)
	known := let("a known caller", m.Begin("a certificate", true), 15*mb, nil)
	for i := range 3 {
		let("a call of middle size", m.Begin(fmt.Sprintf("10.0.1.%d", i), false), mb, nil)
	}
	let("three quarters are held", m.Begin("10.0.2.1", false), mb, adapter.ErrNoRoom)
	for i := range 64 {
		let("an ordinary call", m.Begin(fmt.Sprintf("10.0.3.%d", i), false), 100<<10, nil)
	}
	if got, want := m.Held(), int64(3*15*mb+3*mb+64*100<<10); got != want {
		t.Errorf("%d bytes are held, want %d", got, want)
	}

	var much *adapter.TooMuchError
	if err := m.Begin("10.0.4.1", false).Hold(ctx, 20*mb); !errors.As(err, &much) || much.Most != 16*mb {
		t.Errorf("more than the share of one caller: %v, want to be told at once that it never has room", err)
	}
	// What is proved counts for its party from then on, and leaves strangers their share.
	one.Prove("party MUNI")
	known.Release()
	let("the address of a caller that was proved", m.Begin("10.0.0.1", false), 2*mb, adapter.ErrNoRoom) // half is held still
	one.Release()
	let("what was given back", m.Begin("10.0.0.1", false), 2*mb, nil)
}

// Strangers who let many small bodies trickle fill the memory, and give way to whoever
// comes then.
func TestTricklersGiveWay(t *testing.T) {
	t.Parallel()
	const kb = 1 << 10
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) {
		c.Limits.Body, c.Limits.Content, c.Limits.Memory = 100*kb, 50*kb, 1600*kb
	}))
	m := w.Gateway.Memory()
	var slow []*adapter.Holding
	cut := map[int]bool{}
	for i := range 16 {
		h := m.Begin(fmt.Sprintf("10.0.0.%d", i), false)
		h.Coming(func() { cut[i] = true })
		if err := h.Hold(t.Context(), 98*kb); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, h)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Begin("10.0.1.1", false).Hold(over, 64*kb); !errors.Is(err, adapter.ErrNoRoom) || len(cut) != 0 {
		t.Errorf("%v, %v are cut off, want those that have just come to be left", err, cut)
	}
	slow[0].Came() // this one is at work now
	adapter.Later(m, time.Minute)
	if err := m.Begin("10.0.1.1", false).Hold(over, 64*kb); err != nil || len(cut) != 1 || !cut[1] {
		t.Errorf("%v, %v are cut off, want the oldest of those that are coming", err, cut)
	}
	if !slow[1].Came() || slow[2].Came() {
		t.Error("who was cut off is not told, or another is")
	}
	if err := slow[1].Hold(over, kb); !errors.Is(err, adapter.ErrNoRoom) {
		t.Errorf("who was cut off: %v, want no room", err)
	}
	slow[1].Release()
	if got := m.Held(); got != 15*98*kb+64*kb {
		t.Errorf("%d bytes are held, want those of all others", got)
	}
	for _, h := range slow {
		h.Release()
	}

	// A caller who trickles is told to come again, and who shares his address is served.
	pipe, trickle := io.Pipe()
	defer trickle.Close()
	answer := make(chan int, 1)
	go func() {
		status := 0
		if resp, err := w.HTTP.Post(w.URL+"/ws", "text/xml", pipe); err == nil {
			status = resp.StatusCode
			resp.Body.Close()
		}
		answer <- status
	}()
	trickle.Write(make([]byte, 70*kb))
	w.Eventually("what came is held", func() bool { return m.Held() >= 70*kb })
	neighbour := m.Begin("127.0.0.1", false)
	defer neighbour.Release()
	if err := neighbour.Hold(over, 150*kb); err != nil {
		t.Fatal(err)
	}
	adapter.Later(m, time.Minute)
	accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1)))
	if got := <-answer; got != 503 {
		t.Errorf("who trickles: HTTP %d, want 503", got)
	}
}

// Strangers' large calls that wait for their turn do not work, and keep nobody from it.
func TestWhoWaitsDoesNotWork(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) { c.Limits.Concurrent = 1 }))
	empty := adapter.Fill(w.Gateway.Memory())
	large := `<s:Envelope xmlns:s="` + envelopes.SOAPSpace + `"><s:Body>` + strings.Repeat(`<a b=""/>`, 100_000) + `</s:Body></s:Envelope>`
	answer := make(chan int, 1)
	go func() {
		status := 0
		if resp, err := w.HTTP.Post(w.URL+"/ws", "text/xml", strings.NewReader(large)); err == nil {
			status = resp.StatusCode
			resp.Body.Close()
		}
		answer <- status
	}()
	w.Eventually("the large call is there", func() bool { return w.Gateway.Memory().Held() > 1<<20 })
	accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1)))
	empty()
	if got := <-answer; got != 500 {
		t.Errorf("the large call: HTTP %d, want its fault", got)
	}
	accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1)))
}

// A call whose markup takes more than there is for one caller is refused with the
// sentence that says so, and one that finds no room with one to come again.
func TestMarkupThatTakesTooMuch(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) {
		c.Limits.Body, c.Limits.Content, c.Limits.Memory = 4*mb, mb, 64*mb
	}))
	markup := `<s:Envelope xmlns:s="` + envelopes.SOAPSpace + `"><s:Body>` + strings.Repeat(`<a b=""/>`, 3*mb/9) + `</s:Body></s:Envelope>`
	resp, err := w.HTTP.Post(w.URL+"/ws", "text/xml", strings.NewReader(markup))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	text := string(body)
	if resp.StatusCode != 413 || !strings.Contains(text, "для его разметки нужно") || !strings.Contains(text, "одному вызову даётся 16777216") {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	if held := w.Gateway.Memory().Held(); held != 0 {
		t.Errorf("%d bytes are still held", held)
	}
	accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1)))
}

// What a multipart body makes us copy is told before it is copied.
func TestCopiesAreCounted(t *testing.T) {
	t.Parallel()
	body := "--b\r\nContent-Type: text/xml\r\nContent-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat("PGE+", 1000) + "\r\n--b--\r\n"
	no := errors.New("no")
	for _, encoding := range []string{"base64", "quoted-printable"} {
		told := 0
		_, err := envelopes.Parse(`multipart/related; boundary=b`, []byte(strings.Replace(body, "base64", encoding, 1)), new(xmltape.Tape),
			envelopes.Limits{Hold: func(bytes int) error { told = bytes; return no }})
		if err != no || told < 4000 {
			t.Errorf("%s: %v, told %d", encoding, err, told)
		}
	}
}

// A small heap grows by some tens of megabytes between collections, a large one is
// left to the runtime's own measure.
func TestSmallHeapsAreCollectedSeldom(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		limit yamlfile.Size
		live  int64
		busy  bool
		want  int
	}{
		{0, 0, false, 400}, {0, 20 * mb, false, 400}, {0, 48 * mb, false, 200}, {0, 64 * mb, false, 150}, {0, 96 * mb, false, 100}, {0, 800 * mb, false, 100},
		{0, 0, true, 2800}, {0, 32 * mb, true, 1600}, {0, 64 * mb, true, 800}, {0, 256 * mb, true, 200}, {0, 800 * mb, true, 100},
		{256 * mb, 32 * mb, true, 800}, {64 * mb, 48 * mb, true, 200},
	} {
		if got := adapter.NewMemory(adapter.LimitsConfig{Memory: c.limit}).GCPercent(c.live, c.busy); got != c.want {
			t.Errorf("%d MB live, busy %v, %d MB for calls: %d %%, want %d", c.live/mb, c.busy, c.limit/mb, got, c.want)
		}
	}
}
