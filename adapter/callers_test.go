package adapter_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
	"mezhved/envelopes"
	"mezhved/signing"
)

// Who is counted as one caller: an address of IPv4 in either form, a network of IPv6, and
// what is no address as it stands.
func TestNeighbourhood(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:0:7::9": "2001:db8:0:7::/64", "fe80::1%eth0": "fe80::/64",
		"192.0.2.01": "192.0.2.01", "host": "host", "host:1": "host:1", "": "",
	} {
		if got := adapter.Neighbourhood(address); got != want {
			t.Errorf("%q is counted as %q, want %q", address, got, want)
		}
	}
}

// A poll waits for as long as it asks, and no longer than it may, however large the number.
func TestAskedWait(t *testing.T) {
	t.Parallel()
	const most = 20 * time.Second
	for prefer, want := range map[string]time.Duration{
		"": 0, "respond-async": 0, "wait=": 0, "wait=x": 0, "wait=-5": 0, "wait=5": 5 * time.Second, "respond-async, wait=20": most, "wait=21": most,
		"wait=9223372036854775807": most, "wait=9223372036854775707": most, "wait=18446744080": most, "wait=9223372036854775808": 0, // which overflow as a time.Duration, or at all
	} {
		if got := adapter.AskedWait([]string{prefer}, most); got != want {
			t.Errorf("%q waits for %v, want %v", prefer, got, want)
		}
	}
}

// A message's own id is of the time that it is given, whatever the machine's is.
func TestIDsAreOfTheirTime(t *testing.T) {
	t.Parallel()
	at := time.Date(2031, 4, 5, 6, 7, 8, 9*int(time.Millisecond), time.UTC)
	one, another := adapter.NewID(at), adapter.NewID(at)
	if one == another || one.Version() != 7 || one.Variant() != uuid.RFC4122 {
		t.Errorf("%v and %v, want two of version 7", one, another)
	}
	if seconds, nanos := one.Time().UnixTime(); !time.Unix(seconds, nanos).Equal(at) {
		t.Errorf("%v is of %v, want %v", one, time.Unix(seconds, nanos).UTC(), at)
	}
}

// What goes back to the bus goes in the order of its ids: of what one node is sent within a
// millisecond, too, the earlier has the lesser.
func TestIDsAreInOrder(t *testing.T) {
	t.Parallel()
	at := time.Date(2031, 4, 5, 6, 7, 8, 9*int(time.Millisecond), time.UTC)
	for before := adapter.NewID(at); at.Nanosecond() < 11*int(time.Millisecond); {
		at = at.Add(time.Microsecond)
		id := adapter.NewID(at)
		if bytes.Compare(before[:], id[:]) >= 0 {
			t.Fatalf("%v at %v comes behind %v a microsecond before", id, at, before)
		}
		before = id
	}
}

// front opens the gateway's own listener, as the program does.
func front(t *testing.T, w *adaptertest.World) (address string) {
	t.Helper()
	l, err := w.Gateway.Listen()
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: w.Gateway.Handler(), ErrorLog: log.New(io.Discard, "", 0)}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return l.Addr().String()
}

// Behind a proxy each caller is who the proxy says, and nobody else can say it.
func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, tells string
		trusted     []string
		header      http.Header
		want        string
	}{
		{"nobody is trusted", "", nil, http.Header{"X-Forwarded-For": {"198.51.100.7"}}, "127.0.0.1"},
		{"another is trusted", "", []string{"10.0.0.0/8"}, http.Header{"X-Forwarded-For": {"198.51.100.7"}}, "127.0.0.1"},
		{"the proxy tells", "", []string{"127.0.0.0/8"}, http.Header{"X-Forwarded-For": {"198.51.100.7"}}, "198.51.100.7"},
		{"a port is told too", "", []string{"127.0.0.1"}, http.Header{"X-Forwarded-For": {"198.51.100.7:4711"}}, "198.51.100.7"},
		{"two proxies", "", []string{"127.0.0.1", "10.1.0.0/16"}, http.Header{"X-Forwarded-For": {"198.51.100.7, 10.1.2.3"}}, "198.51.100.7"},
		{"two lines", "", []string{"127.0.0.1", "10.1.0.0/16"}, http.Header{"X-Forwarded-For": {"198.51.100.7", "10.1.2.3"}}, "198.51.100.7"},
		{"the caller wrote before", "", []string{"127.0.0.1"}, http.Header{"X-Forwarded-For": {"192.0.2.1, 198.51.100.7"}}, "198.51.100.7"},
		{"the caller wrote a trusted one", "", []string{"127.0.0.1", "10.1.0.0/16"}, http.Header{"X-Forwarded-For": {"10.1.9.9, 198.51.100.7"}}, "198.51.100.7"},
		{"only proxies", "", []string{"127.0.0.1", "10.1.0.0/16"}, http.Header{"X-Forwarded-For": {"10.1.9.9, 10.1.2.3"}}, "10.1.9.9"},
		{"no address", "", []string{"127.0.0.1"}, http.Header{"X-Forwarded-For": {"198.51.100.7, unknown"}}, "127.0.0.1"},
		{"nothing told", "", []string{"127.0.0.1"}, http.Header{}, "127.0.0.1"},
		{"the other header is the caller's", "", []string{"127.0.0.1"}, http.Header{"Forwarded": {"for=192.0.2.1"}}, "127.0.0.1"},
		{"the older header is the caller's", "forwarded", []string{"127.0.0.1"}, http.Header{"X-Forwarded-For": {"192.0.2.1"}, "Forwarded": {"for=198.51.100.7"}}, "198.51.100.7"},
		{"RFC 7239", "Forwarded", []string{"127.0.0.1"}, http.Header{"Forwarded": {`for=192.0.2.1, For="[2001:db8::7]:4711";proto=https;by=10.0.0.1`}}, "2001:db8::7"},
		{"hidden", "Forwarded", []string{"127.0.0.1"}, http.Header{"Forwarded": {`for=198.51.100.7, for=_hidden`}}, "127.0.0.1"},
		{"the caller wrote an element into the host that it asks for", "Forwarded", []string{"127.0.0.1"}, http.Header{"Forwarded": {`for=198.51.100.7;host="a,for=192.0.2.1"`}}, "198.51.100.7"},
		{"the caller wrote a pair into it", "Forwarded", []string{"127.0.0.1"}, http.Header{"Forwarded": {`for=198.51.100.7;host="a\";for=192.0.2.1;x=\""`}}, "198.51.100.7"},
		{"the caller opened a quotation", "Forwarded", []string{"127.0.0.1"}, http.Header{"Forwarded": {`for=192.0.2.1;host=", for=198.51.100.7`}}, "198.51.100.7"},
		{"an address in another notation", "", []string{"127.0.0.1"}, http.Header{"X-Forwarded-For": {"::ffff:198.51.100.7"}}, "198.51.100.7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) {
				c.TrustedProxies, c.ProxyHeader = tt.trusted, tt.tells
			}))
			req, err := http.NewRequest("POST", w.URL+"/ws", strings.NewReader("<a>"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = tt.header
			req.Header.Set("Content-Type", envelopes.TextXML)
			resp, err := w.HTTP.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			w.Eventually("the refusal is logged", func() bool { return strings.Contains(w.Log.String(), "call refused") })
			if want := " remote=" + tt.want + " "; !strings.Contains(w.Log.String(), want) {
				t.Errorf("not logged as%s", want)
			}
		})
	}
}

// Whatever a caller writes, before what the proxy adds and into what the proxy
// quotes of it, he is who the proxy says.
func FuzzCaller(f *testing.F) {
	f.Add(`for=192.0.2.1`, `a,for=192.0.2.1`)
	f.Add(`for=192.0.2.1;host="`, `";for=192.0.2.1;x="`)
	f.Add(`for="\`, `\`)
	f.Add(`, ,;,`, `\","`)
	f.Fuzz(func(t *testing.T, before, host string) {
		quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(host)
		for tells, proxy := range map[string]string{
			"X-Forwarded-For": "198.51.100.7",
			"Forwarded":       `proto=https;for="198.51.100.7:4711";host="` + quoted + `"`,
		} {
			for _, h := range []http.Header{{tells: {before + ", " + proxy}}, {tells: {before, proxy}}} {
				got, ok := adapter.CallerOf(adapter.Config{TrustedProxies: []string{"10.0.0.0/8"}, ProxyHeader: tells}, "10.1.2.3:80", h)
				if !ok || got.String() != "198.51.100.7" {
					t.Errorf("%q: %v, %v, want 198.51.100.7", h, got, ok)
				}
			}
		}
	})
}

// A noisy stranger behind a proxy is turned away, and the others behind it are not.
func TestNoiseBehindAProxy(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) {
		c.Limits.Strangers, c.TrustedProxies = 1, []string{"127.0.0.1"}
	}))
	post := func(from string) int {
		t.Helper()
		req, err := http.NewRequest("POST", w.URL+"/ws", strings.NewReader("<a>"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", envelopes.TextXML)
		req.Header.Set("X-Forwarded-For", from)
		resp, err := w.HTTP.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for i := range 8 {
		if got := post("192.0.2.9, 198.51.100.7"); (got == http.StatusTooManyRequests) != (i >= 4) {
			t.Errorf("call %d of the noisy one: HTTP %d", i+1, got)
		}
		post(fmt.Sprintf("198.51.100.7, 203.0.113.%d", i)) // writes the name of another
	}
	if got := post("198.51.100.8"); got != 500 {
		t.Errorf("a quiet one behind the same proxy: HTTP %d, want the fault", got)
	}
	for i := range 8 { // who has one address of an IPv6 network has them all
		if got := post(fmt.Sprintf("2001:db8:0:7::%x", 1<<i)); (got == http.StatusTooManyRequests) != (i >= 4) {
			t.Errorf("call %d of one who changes his address: HTTP %d", i+1, got)
		}
	}
	if got := post("2001:db8:0:8::1"); got != 500 {
		t.Errorf("his neighbour: HTTP %d, want the fault", got)
	}
}

// The PROXY protocol is taken from trusted neighbours, before TLS too, and from
// nobody else.
func TestPROXYProtocol(t *testing.T) {
	t.Parallel()
	for _, trusted := range []string{"127.0.0.1", "10.0.0.1"} {
		w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) {
			c.TrustedProxies, c.ProxyHeader = []string{trusted}, "PROXY"
		}))
		conn, err := net.Dial("tcp", front(t, w))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\r\nPOST /ws HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.66\r\nContent-Type: text/xml\r\nContent-Length: 3\r\nConnection: close\r\n\r\n<a>")
		answer, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		as := strings.Contains(w.Log.String(), " remote=198.51.100.7 ")
		if good := trusted == "127.0.0.1"; good != as || good != bytes.HasPrefix(answer, []byte("HTTP/1.1 500")) || !good && !bytes.HasPrefix(answer, []byte("HTTP/1.1 400")) {
			t.Errorf("trusted %s: logged as the caller %v, %.60s", trusted, as, answer)
		}
	}
}

// A registered party whose call fails before it is proved gets the reason, and its
// line in the journal, however noisy a stranger at the same address is.
func TestPartyBesideANoisyStranger(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) { c.Limits.Strangers, c.Limits.KeptPerMin = 1, 3 }))
	muni := w.Party("MUNI")
	for range 10 {
		w.Party("STRANGER").Get(envelopes.GetResponse, anything, "")
		muni.Post("/ws", envelopes.TextXML, []byte("<a>"))
	}
	certificate := "<ds:X509Certificate>" + base64.StdEncoding.EncodeToString(muni.DER) + "</ds:X509Certificate>"
	for name, a := range map[string]adaptertest.Answered{
		"a changed message": muni.Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), Tamper: func(b []byte) []byte {
			return bytes.Replace(b, []byte("MessageID>"), []byte("MessageID> "), 1)
		}}),
		"no XML": muni.Post("/ws", envelopes.TextXML, []byte("<a>"+certificate)),
	} {
		if a.Status == http.StatusTooManyRequests || a.Fault == nil || a.Fault.Kind == envelopes.SMEVFailure {
			t.Errorf("%s: HTTP %d %v, want the reason", name, a.Status, a.Fault)
		}
		if _, _, _, err := w.Store.Refused(t.Context(), a.Header.Get("X-Mezhved-Incident")); err != nil {
			t.Errorf("%s stands in no journal: %v", name, err)
		}
	}
	for range 8 { // whoever only claims to be the party is slowed down as well
		muni.Post("/ws", envelopes.TextXML, []byte("<a>"+certificate))
	}
	if a := muni.Post("/ws", envelopes.TextXML, []byte("<a>"+certificate)); a.Status != http.StatusTooManyRequests {
		t.Errorf("many calls that claim to be the party's: HTTP %d", a.Status)
	}
}

// A verified client certificate of the connection tells a caller from the others at
// its address.
func TestCertificateOfTheConnection(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, serverKey := selfSigned(t, dir, "server")
	client, clientKey := selfSigned(t, dir, "client")
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) {
		c.TLS = adapter.TLSConfig{Certificate: server, Key: serverKey, ClientCAs: client}
		c.Limits.Strangers = 1
	}))
	address := front(t, w)
	trust := x509.NewCertPool()
	pem, err := os.ReadFile(server)
	if err != nil {
		t.Fatal(err)
	}
	trust.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(client, clientKey)
	if err != nil {
		t.Fatal(err)
	}
	post := func(own ...tls.Certificate) int {
		t.Helper()
		h := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust, Certificates: own}}, Timeout: time.Minute}
		defer h.CloseIdleConnections()
		resp, err := h.Post("https://"+address+"/ws", envelopes.TextXML, strings.NewReader("<a>"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	got := 0
	for range 8 {
		got = post()
	}
	if got != http.StatusTooManyRequests {
		t.Errorf("the noisy one: HTTP %d", got)
	}
	if got := post(pair); got != 500 {
		t.Errorf("the one with a certificate: HTTP %d, want the fault", got)
	}
}

// Certificate and authorities are renewed while the doors are open; what cannot be
// read leaves the old in force, and either is told.
func TestTLSIsRenewed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, serverKey := selfSigned(t, dir, "server")
	second, secondKey := selfSigned(t, dir, "second")
	client, clientKey := selfSigned(t, dir, "client")
	other, otherKey := selfSigned(t, dir, "other")
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) {
		c.TLS = adapter.TLSConfig{Certificate: server, Key: serverKey, ClientCAs: filepath.Join(dir, "authorities.pem"), RequireClient: true}
	}))
	lay := func(from, to string) {
		t.Helper()
		b, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	authorities := filepath.Join(dir, "authorities.pem")
	lay(client, authorities)
	address := front(t, w)
	shake := func(cert, key string) (subject string) { // empty: refused
		t.Helper()
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}})
		if err != nil {
			return ""
		}
		defer conn.Close()
		fmt.Fprint(conn, "GET /healthz HTTP/1.0\r\n\r\n")
		if _, err := io.ReadAll(conn); err != nil {
			return ""
		}
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	told := func(metric, line string) {
		t.Helper()
		_, _, text := get(t, w.URL+"/metrics")
		if !strings.Contains(text, metric) {
			t.Errorf("/metrics has no %s", metric)
		}
		if !strings.Contains(w.Log.String(), line) {
			t.Errorf("the log does not say %q", line)
		}
	}
	if got := shake(client, clientKey); got != "server" {
		t.Errorf("at first: %q", got)
	}
	if got := shake(other, otherKey); got != "" {
		t.Error("a client of another authority got in")
	}
	lay(other, authorities)
	lay(serverKey, server) // no certificate
	w.Reload()
	if got := shake(other, otherKey); got != "server" {
		t.Errorf("the new authority, the old certificate: %q", got)
	}
	if got := shake(client, clientKey); got != "" {
		t.Error("a client of the former authority got in")
	}
	told(`mezhved_tls_reads_total{outcome="failed",what="certificate"} 1`, "a door's certificate was not read again")
	told(`mezhved_tls_reads_total{outcome="ok",what="clientCAs"} 1`, "the authorities of client certificates were read again")
	lay(secondKey, authorities) // no certificate
	lay(second, server)
	lay(secondKey, serverKey)
	w.Reload()
	if got := shake(other, otherKey); got != "second" {
		t.Errorf("the new certificate, authorities that cannot be read: %q", got)
	}
	told(`mezhved_tls_reads_total{outcome="ok",what="certificate"} 2`, "CN=second")
	told(`mezhved_tls_reads_total{outcome="failed",what="clientCAs"} 1`, "the authorities of client certificates were not read again")
	told("mezhved_tls_certificate_expires_seconds ", "")
}

// HEAD works where GET does; what a door does not take is told in one line.
func TestMethods(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithRooms(func(rooms *adapter.Rooms) {
		rooms.Mount = func(r chi.Router) {
			r.Route("/room", func(r chi.Router) { r.Get("/", http.NotFound) }) // as the desk is mounted
		}
	}))
	ask := func(method, path string) *http.Response {
		t.Helper()
		req, err := http.NewRequest(method, w.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := w.HTTP.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	for _, path := range []string{"/", "/healthz", "/readyz", "/metrics", "/smev/v1.2/ws?wsdl", "/smev/v1.2/smev-message-exchange-types-1.2.xsd", "/ws", "/room/"} {
		get, head := ask("GET", path), ask("HEAD", path)
		if head.StatusCode != get.StatusCode || head.Header.Get("Content-Type") != get.Header.Get("Content-Type") {
			t.Errorf("HEAD %s: %d %s, GET %d %s", path, head.StatusCode, head.Header.Get("Content-Type"), get.StatusCode, get.Header.Get("Content-Type"))
		}
	}
	for _, tt := range []struct{ method, path, allow string }{
		{"PUT", "/smev/v1.2/ws", "GET, HEAD, POST"}, {"DELETE", "/ws", "GET, HEAD, POST"}, {"GET", "/smev/v1.3/ws", "GET, HEAD, POST"},
		{"POST", "/healthz", "GET, HEAD"}, {"PUT", "/", "GET, HEAD"}, {"PUT", "/metrics", "GET, HEAD"},
	} {
		resp := ask(tt.method, tt.path)
		if got := resp.Header.Values("Allow"); resp.StatusCode != http.StatusMethodNotAllowed || len(got) != 1 || got[0] != tt.allow {
			t.Errorf("%s %s: %d, Allow %q, want %q", tt.method, tt.path, resp.StatusCode, got, tt.allow)
		}
		if soap := strings.HasSuffix(tt.path, "/ws") && tt.method != "GET"; soap != strings.HasPrefix(resp.Header.Get("Content-Type"), "text/xml") {
			t.Errorf("%s %s: %s", tt.method, tt.path, resp.Header.Get("Content-Type"))
		}
	}
}

// Clients that send everything before they read anything read why they were
// refused, as soon as there is a reason.
func TestRefusedBeforeTheEnd(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) { c.Limits.Body, c.Limits.Content = 4*mb, mb }))
	for _, tt := range []struct {
		name, header string
		size, status int
		chunked      bool
	}{
		{"too large, announced", "Content-Type: text/xml\r\n", 24 * mb, 413, false},
		{"too large, unannounced", "Content-Type: text/xml\r\n", 24 * mb, 413, true},
		{"packed", "Content-Type: text/xml\r\nContent-Encoding: gzip\r\n", 3 * mb, 415, false},
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Minute))
		body, length := bytes.Repeat([]byte(" "), tt.size), fmt.Sprintf("Content-Length: %d\r\n", tt.size)
		if tt.chunked {
			body, length = append(fmt.Appendf(nil, "%x\r\n", tt.size), append(body, "\r\n0\r\n\r\n"...)...), "Transfer-Encoding: chunked\r\n"
		}
		fmt.Fprintf(conn, "POST /ws HTTP/1.1\r\nHost: x\r\n%s%s\r\n", tt.header, length)
		if _, err := conn.Write(body); err != nil {
			t.Errorf("%s: the body was not taken to its end: %v", tt.name, err)
			continue
		}
		answer, err := io.ReadAll(conn)
		if head := fmt.Sprintf("HTTP/1.1 %d ", tt.status); err != nil || !bytes.HasPrefix(answer, []byte(head)) || !bytes.Contains(answer, []byte("Connection: close")) || !bytes.Contains(answer, []byte("Fault>")) {
			t.Errorf("%s: %v %.200s", tt.name, err, answer)
		}
	}
}

// failOpen trusts everybody, and nobody can say whether a certificate is revoked.
func failOpen(t *testing.T) *signing.Trust {
	t.Helper()
	responder := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(responder.Close)
	revocation, err := signing.NewRevocation(signing.RevocationOptions{OCSP: []string{responder.URL}, FailOpen: true})
	if err != nil {
		t.Fatal(err)
	}
	trust, err := signing.NewTrust(signing.TrustOptions{Revocation: revocation, Registered: func(*signing.Certificate) bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// With failOpen a call whose certificate nobody could tell about is counted, and its
// entries in the journal say so.
func TestUncheckedRevocationIsTold(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithTrust(failOpen(t)))
	id, _ := w.Exchange("MUNI", "REGISTRY", adaptertest.Extract1)
	events, err := w.Store.Trace(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	told := map[journal.Kind]int{}
	for _, e := range events {
		if e.Rule == "signature.revocation-unknown" && e.Outcome == "ok" {
			told[e.Kind]++
		}
	}
	if told[journal.KindAccepted] != 1 || told[journal.KindDelivered] != 1 {
		t.Errorf("entries that say that the certificate was not checked: %v", told)
	}
	if _, _, text := get(t, w.URL+"/metrics"); !strings.Contains(text, `mezhved_revocations_unchecked_total{whose="caller"}`) || strings.Contains(text, `mezhved_revocations_unchecked_total{whose="caller"} 0`) {
		t.Error("not counted")
	}
}

// Whoever names a party in what he sends is kept as that party's. With the names of
// all of them he still cannot fill a disk: the bytes of a minute are bounded together,
// and who comes late in it is kept in part.
func TestStrangersOfManyNamesKeepLittle(t *testing.T) {
	names := make([]string, 1000)
	for i := range names {
		names[i] = fmt.Sprint("PARTY", i)
	}
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	limits := adapter.LimitsConfig{Kept: 256 << 10, KeptPerMin: 20}
	kept, _ := adapter.KeptOfStrangers(limits, func() time.Time { return now }, names, 5, 1<<20)
	if want := 20 * 256 << 10; kept > want {
		t.Errorf("%d bytes are kept in a minute, want at most %d", kept, want)
	}
	if kept, least := adapter.KeptOfStrangers(limits, func() time.Time { return now }, names[:10], 20, 4000); least != 4000 || kept != 10*20*4000 {
		t.Errorf("of small calls %d bytes are kept, the least %d: want all of them", kept, least)
	}
}
