package adapter_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/envelopes"
)

func get(t *testing.T, url string) (int, http.Header, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

// Each door gives its WSDL with the address under which it was asked, and the
// schemas that it refers to, beside it.
func TestDescriptions(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	location := regexp.MustCompile(`schemaLocation="([^"]+)"`)
	for _, door := range []string{"/smev/v1.1/ws", "/smev/v1.2/ws", "/smev/v1.3/ws", "/ws", "/ws/smev-message-exchange-service-1.3.wsdl"} {
		status, header, wsdl := get(t, w.URL+door+"?wsdl")
		if status != 200 || !strings.HasPrefix(header.Get("Content-Type"), "text/xml") || !strings.Contains(wsdl, `location="`+w.URL+door+`"`) {
			t.Errorf("%s?wsdl: %d %s, the address is not in it", door, status, header.Get("Content-Type"))
		}
		todo, seen := []string{}, map[string]bool{}
		for _, m := range location.FindAllStringSubmatch(wsdl, -1) {
			todo = append(todo, m[1])
		}
		if len(todo) == 0 {
			t.Errorf("%s?wsdl refers to no schema", door)
		}
		for len(todo) > 0 {
			name := todo[0]
			todo = todo[1:]
			if seen[name] {
				continue
			}
			seen[name] = true
			status, _, doc := get(t, w.URL+door[:strings.LastIndex(door, "/")+1]+name)
			if status != 200 {
				t.Errorf("%s beside %s: %d", name, door, status)
			}
			if err := xml.Unmarshal([]byte(doc), new(struct{ XMLName xml.Name })); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for _, m := range location.FindAllStringSubmatch(doc, -1) {
				todo = append(todo, m[1])
			}
		}
	}
	if status, _, doc := get(t, w.URL+"/ws/smev-message-exchange-service-1.3.wsdl"); status != 200 || !strings.Contains(doc, "definitions") {
		t.Errorf("the WSDL by its name alone: %d", status)
	}
	for _, none := range []string{"/smev/v1.2/none.xsd", "/smev/v1.2/..%2f..%2fgo.mod", "/smev/v1.4/ws", "/elsewhere"} {
		if status, _, _ := get(t, w.URL+none); status != 404 {
			t.Errorf("%s: %d, want 404", none, status)
		}
	}
	if status, _, text := get(t, w.URL+"/smev/v1.2/ws"); status != 405 || !strings.Contains(text, "?wsdl") {
		t.Errorf("GET on a door: %d %s", status, text)
	}
}

// A Host header is repeated only when it is a host.
func TestHostIsNotAnOpenDoor(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	req, err := http.NewRequest("GET", w.URL+"/smev/v1.2/ws?wsdl", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = `evil"><script>`
	rec := respond{header: http.Header{}}
	w.Gateway.Handler().ServeHTTP(&rec, req)
	if strings.Contains(rec.body.String(), "script") {
		t.Error("the Host header is in the WSDL")
	}
}

type respond struct {
	header http.Header
	body   bytes.Buffer
	status int
}

func (r *respond) Header() http.Header         { return r.header }
func (r *respond) Write(b []byte) (int, error) { return r.body.Write(b) }
func (r *respond) WriteHeader(status int)      { r.status = status }

func TestHealthAndMetrics(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	id, _ := w.Exchange("MUNI", "REGISTRY", adaptertest.Extract1)
	_ = id
	w.Party("STRANGER").Send(request(adaptertest.Extract1))
	if status, _, text := get(t, w.URL+"/healthz"); status != 200 || strings.TrimSpace(text) != "ok" {
		t.Errorf("/healthz: %d %q", status, text)
	}
	status, _, text := get(t, w.URL+"/readyz")
	var state struct {
		Ready      bool
		Store, Bus string
		Services   int
	}
	if err := json.Unmarshal([]byte(text), &state); err != nil || status != 200 || !state.Ready || state.Store != "ok" || state.Bus != "ok" || state.Services != 8 {
		t.Errorf("/readyz: %d %s %v", status, text, err)
	}
	w.Eventually("the relay has counted what it committed", func() bool {
		_, _, text = get(t, w.URL+"/metrics")
		return strings.Contains(text, "mezhved_relayed_total 1")
	})
	for _, want := range []string{
		`mezhved_calls_total{operation="SendRequest",outcome="ok",version="1.2"} 1`,
		`mezhved_refused_total{known="false",reason="stranger"} 1`,
		`mezhved_stage_seconds_count{stage="authenticate"}`, `mezhved_queued_total 1`, `mezhved_certificate_expires_seconds{system="MUNI"}`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
	if _, _, text := get(t, w.URL+"/"); !strings.Contains(text, w.URL+"/smev/v1.3/ws") {
		t.Errorf("the front page does not name the doors:\n%s", text)
	}
}

// Bodies that are no call are refused before they cost anything.
func TestBodies(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	said := ""
	post := func(method string, body io.Reader, header ...string) *http.Response {
		t.Helper()
		req, err := http.NewRequest(method, w.URL+"/ws", body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "text/xml")
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		said = string(answer)
		resp.Body.Close()
		return resp
	}
	if got := post("PUT", strings.NewReader("x")); got.StatusCode != 405 || got.Header.Get("Allow") == "" {
		t.Errorf("PUT: %d", got.StatusCode)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(bytes.Repeat([]byte(" "), 1<<20))
	z.Close()
	if got := post("POST", &zipped, "Content-Encoding", "gzip"); got.StatusCode != 415 {
		t.Errorf("gzip: %d", got.StatusCode)
	}
	if !strings.Contains(said, "Content-Encoding") || !strings.Contains(said, "без сжатия") || strings.Contains(said, "text/xml") {
		t.Errorf("gzip: it is not said what is wrong: %s", said)
	}
	if got := post("POST", strings.NewReader("")); got.StatusCode != 500 {
		t.Errorf("empty body: %d", got.StatusCode)
	}
	// Longer than the limit, with no length announced.
	endless := io.LimitReader(spaces{}, int64(w.Config.Limits.Body)+2)
	if got := post("POST", io.MultiReader(strings.NewReader("<"), endless)); got.StatusCode != 413 {
		t.Errorf("too long: %d", got.StatusCode)
	}
	// A caller that stops in the middle.
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /ws HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: 1000\r\n\r\n<x>")
	conn.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(conn)
	conn.Close()
	if !strings.Contains(string(answer), "400 Bad Request") {
		t.Errorf("half a body: %s", answer)
	}
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// When the store is away nothing is accepted and callers are told when to come
// again; when the bus is away accepts go on.
func TestOutages(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	for range 3 {
		w.Store.Break("Accept", adaptertest.Failed)
		a := w.Party("MUNI").Send(request(adaptertest.Extract1))
		if a.Status != 503 || a.Header.Get("Retry-After") == "" || a.Fault.Kind != envelopes.SMEVFailure {
			t.Errorf("store away: %d %v", a.Status, a.Fault)
		}
	}
	for range 5 {
		w.Bus.Break("Publish", adaptertest.Failed)
	}
	w.Bus.Break("Ensure", adaptertest.Failed)
	w.Restart()
	accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1)))
	take(t, w.Party("REGISTRY"), envelopes.GetRequest, "")
	w.Check()
}

// The trace context of the accepting call goes with the message onto the bus.
func TestTraceContext(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	kind, body, id := w.Party("MUNI").BuildRequest(request(adaptertest.Extract1))
	req, err := http.NewRequest("POST", w.URL+"/ws", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	req.Header.Set("traceparent", parent)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	found, err := w.Store.Find(context.Background(), adapter.MessageID(id))
	if err != nil || len(found) != 1 || !strings.Contains(found[0].Trace, "4bf92f3577b34da6a3ce929d0e0e4736") {
		t.Errorf("found %v %v", found, err)
	}
	w.Eventually("the record bears the trace", func() bool {
		for _, r := range w.Bus.Published() {
			for _, h := range r.Headers {
				if h.Key == "traceparent" && strings.Contains(string(h.Value), "4bf92f3577b34da6a3ce929d0e0e4736") {
					// Nobody but gateways reads this topic: the content is under the message's key.
					plain, err := w.RecordValue(r)
					return err == nil && bytes.Contains(plain, []byte("77:01:000101:42")) && !bytes.Contains(r.Value, []byte("77:01:000101:42"))
				}
			}
		}
		return false
	})
}

// The doors speak TLS, and ask for client certificates when told to.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, serverKey := selfSigned(t, dir, "server")
	client, clientKey := selfSigned(t, dir, "client")
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) {
		c.TLS = adapter.TLSConfig{Certificate: server, Key: serverKey, ClientCAs: client, RequireClient: true}
	}))
	l, err := w.Gateway.Listen()
	if err != nil {
		t.Fatal(err)
	}
	front := &http.Server{Handler: w.Gateway.Handler(), ErrorLog: log.New(io.Discard, "", 0)}
	go front.Serve(l)
	defer front.Close()
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(server)
	if err != nil {
		t.Fatal(err)
	}
	pool.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(client, clientKey)
	if err != nil {
		t.Fatal(err)
	}
	url := "https://" + l.Addr().String() + "/healthz"
	with := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}}}
	if resp, err := with.Get(url); err != nil || resp.StatusCode != 200 {
		t.Errorf("with a client certificate: %v", err)
	}
	without := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	if _, err := without.Get(url); err == nil {
		t.Error("a caller without a client certificate got in")
	}
}

func selfSigned(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, &x509.Certificate{Subject: pkix.Name{CommonName: name}}, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// A taken address is an error that names it.
func TestTakenAddress(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) { c.Listen = l.Addr().String() }))
	if _, err := w.Gateway.Listen(); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("error %v", err)
	}
}

// Two nodes on one store and one bus share the work: whatever one accepts the
// other may deliver, and everything is delivered once.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	second := w.Join("second")
	muni, registry := w.Party("MUNI"), w.Party("REGISTRY").At(second)
	seen := map[string]bool{}
	const n = 30
	for range n {
		sent := accepted(t, muni.Send(request(adaptertest.Extract1)))
		muni = muni.At(other(muni.URL(), w.URL, second))
		seen[sent.Receipt.MessageID] = false
	}
	for range n {
		id := registry.Await(envelopes.GetRequest, "").Message.Metadata.MessageID
		registry = registry.At(other(registry.URL(), w.URL, second))
		if done, known := seen[id]; done || !known {
			t.Errorf("%s: delivered before %v, known %v", id, done, known)
		}
		seen[id] = true
		accepted(t, registry.Ack(id))
	}
	w.Check()
}

func other(now, a, b string) string {
	if now == a {
		return b
	}
	return a
}

// A panic in the middle of a call is one caller's bad luck.
func TestPanicEndsOneCall(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	w.Store.Break("Lease", adaptertest.Panicked)
	a := w.Party("REGISTRY").Get(envelopes.GetRequest, anything, "")
	if a.Status != 500 || a.Fault.Kind != envelopes.SMEVFailure {
		t.Errorf("%d %v", a.Status, a.Fault)
	}
	if strings.Contains(string(a.Body), "goroutine") || !strings.Contains(w.Log.String(), "panic: *errors.errorString") {
		t.Error("the place of the panic belongs into the log, not into the answer")
	}
	accepted(t, w.Party("REGISTRY").Get(envelopes.GetRequest, anything, ""))
}

// A caller that trickles its body holds nobody up, and many large bodies at
// once are turned away with a time to come again.
func TestSlowAndLargeBodies(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) {
		c.Limits.Concurrent, c.Limits.Body, c.Limits.Memory = 1, 1<<20, 4<<20
	}))
	slow := func(announced, sent int) net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprintf(conn, "POST /ws HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n", announced)
		if _, err := conn.Write(bytes.Repeat([]byte(" "), sent)); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	for range 20 {
		slow(1<<20, 10)
	}
	accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1)))

	wave := func() (away int) {
		turnedAway := make(chan bool, 20)
		for range 20 {
			conn := slow(1<<20, 1<<20-1)
			go func() {
				conn.SetReadDeadline(time.Now().Add(5 * time.Second))
				b := make([]byte, 1000)
				n, _ := conn.Read(b)
				turnedAway <- strings.Contains(string(b[:n]), "503") && strings.Contains(string(b[:n]), "Retry-After")
			}()
		}
		for range 20 {
			if <-turnedAway {
				away++
			}
		}
		return away
	}
	away := wave()
	for end := time.Now().Add(time.Minute); away == 20 && time.Now().Before(end); { // the last two may have waited for one another
		away = wave()
	}
	if away == 0 || away == 20 {
		t.Errorf("%d of 20 large bodies were turned away", away)
	}
}

// Bodies that stall are charged with what they hold, and from one address they
// leave room for the bodies of others.
func TestStalledBodiesLeaveRoom(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) {
		c.Limits.Body, c.Limits.Memory = mb, 16*mb
	}))
	begin := func(from string) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := d.Dial("tcp", strings.TrimPrefix(w.URL, "http://"))
		if err != nil {
			t.Skipf("this machine has no address %s to call from: %v", from, err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprintf(conn, "POST /ws HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n", mb)
		if _, err := conn.Write(bytes.Repeat([]byte(" "), mb*5/8)); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	statusOf := func(conn net.Conn) string {
		line, _ := bufio.NewReader(conn).ReadString('\n')
		return line
	}
	// Each that is let in holds 1 MB of its address's 4 MB, and half as much again
	// while its buffer grows.
	turnedAway := make(chan string, 16)
	for range 16 {
		conn := begin("127.0.0.2")
		go func() { turnedAway <- statusOf(conn) }()
	}
	for range 8 {
		if got := <-turnedAway; !strings.Contains(got, "503") {
			t.Errorf("a stalled body of an address that holds its share: %q, want 503", got)
		}
	}
	for _, from := range []string{"127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6"} {
		conn := begin(from)
		if _, err := conn.Write(bytes.Repeat([]byte(" "), mb*3/8)); err != nil {
			t.Fatal(err)
		}
		if got := statusOf(conn); !strings.Contains(got, "500") {
			t.Errorf("a body of blanks from %s: %q, want the fault about its XML", from, got)
		}
	}
	accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1)))
}

// What a gateway cannot do without is named at once.
func TestNewNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := adapter.New(adapter.Config{}, adapter.Rooms{ReplyKeys: [][]byte{{1, 2, 3}}})
	for _, want := range []string{"Store", "Broker", "Registry", "Verifier", "Signer", "shorter than 32 bytes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named: %v", want, err)
		}
	}
}
