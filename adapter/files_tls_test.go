package adapter_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/party"
	"mezhved/envelopes"
)

// ftpsWorld has a file store whose door wants TLS.
func ftpsWorld(t *testing.T, change func(*adapter.Config)) (w *adaptertest.World, roots *x509.CertPool, ca string) {
	t.Helper()
	ca, key := selfSigned(t, t.TempDir(), "ftp")
	w = adaptertest.Start(t, adaptertest.WithFiles(func(c *adapter.Config) {
		c.FTP.Certificate, c.FTP.Key, c.FTP.RequireTLS = ca, key, true
		if change != nil {
			change(c)
		}
	}))
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return w, roots, ca
}

// withFTPS gives a world a file store whose door has a certificate.
func withFTPS(t *testing.T) adaptertest.Option {
	t.Helper()
	cert, key := selfSigned(t, t.TempDir(), "ftp")
	return adaptertest.WithFiles(func(c *adapter.Config) { c.FTP.Certificate, c.FTP.Key = cert, key })
}

// ftpLines is a control connection, said line by line.
type ftpLines struct {
	*testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (c *ftpLines) answer() string {
	c.Helper()
	c.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	all := ""
	for {
		line, err := c.in.ReadString('\n')
		all += line
		if err != nil {
			return all + "EOF"
		}
		if len(line) > 3 && line[3] == ' ' && line[0] != ' ' {
			return all
		}
	}
}

func (c *ftpLines) say(line, want string) string {
	c.Helper()
	if _, err := io.WriteString(c.conn, line+"\r\n"); err != nil {
		c.Fatal(err)
	}
	got := c.answer()
	if !strings.HasPrefix(got, want) {
		c.Errorf("%q is answered %q, want %s", line, got, want)
	}
	return got
}

// under goes under TLS.
func (c *ftpLines) under(config *tls.Config) error {
	c.Helper()
	c.say("AUTH TLS", "234")
	conn := tls.Client(c.conn, config)
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if err := conn.Handshake(); err != nil {
		return err
	}
	c.conn, c.in = conn, bufio.NewReader(conn)
	return nil
}

var passivePort = regexp.MustCompile(`\(\|\|\|(\d+)\|\)`)

// data opens the data connection that EPSV tells of, in the clear.
func (c *ftpLines) data(epsv string) net.Conn {
	c.Helper()
	port := passivePort.FindStringSubmatch(c.say(epsv, "229"))
	host, _, _ := net.SplitHostPort(c.conn.RemoteAddr().String())
	conn, err := net.Dial("tcp", net.JoinHostPort(host, port[1]))
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { conn.Close() })
	return conn
}

func ftpCall(t *testing.T, w *adaptertest.World) *ftpLines {
	t.Helper()
	conn := w.RawFTP()
	c := &ftpLines{t, conn, bufio.NewReader(conn)}
	if got := c.answer(); !strings.HasPrefix(got, "220") {
		t.Fatalf("greeted with %q", got)
	}
	return c
}

// Where TLS is demanded nothing is said or brought without it, nothing that came
// before it counts, and an upload whose end was not told is not a file.
func TestFTPUnderTLS(t *testing.T) {
	t.Parallel()
	w, roots, _ := ftpsWorld(t, nil)
	config := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
	c := ftpCall(t, w)
	if got := c.say("FEAT", "211"); !strings.Contains(got, " AUTH TLS\r\n PBSZ\r\n PROT\r\n") || !strings.Contains(got, " MLST ") || !strings.Contains(got, " EPSV\r\n") {
		t.Errorf("FEAT: %q", got)
	}
	for _, line := range [][2]string{{"USER anonymous", "530"}, {"PASS smev", "503"}, {"PBSZ 0", "503"}, {"PROT P", "503"}, {"AUTH SSL", "504"}, {"AUTH KERBEROS", "504"}, {"PASV", "530"}} {
		c.say(line[0], line[1])
	}
	if err := c.under(config); err != nil {
		t.Fatal(err)
	}
	id := w.NewMessageID()
	for _, line := range [][2]string{
		{"AUTH TLS", "503"}, {"USER anonymous", "331"}, {"PASS smev", "230"}, {"PROT P", "503"}, {"EPSV", "229"}, {"STOR " + id + "/f", "521"}, {"LIST", "521"},
		{"PBSZ 0", "200"}, {"PROT C", "534"}, {"PROT S", "536"}, {"PROT P", "200"}, {"EPSV 2", "522"}, {"MKD " + id, "257"},
	} {
		c.say(line[0], line[1])
	}

	// The connection ends without TLS's goodbye: somebody has cut it.
	plain := c.data("EPSV 1")
	c.say("STOR "+id+"/f", "150")
	data := tls.Client(plain, config)
	if _, err := data.Write([]byte("content")); err != nil {
		t.Fatal(err)
	}
	plain.Close()
	if got := c.answer(); !strings.HasPrefix(got, "426") {
		t.Errorf("an upload that was cut: %q, want 426", got)
	}
	ref := adaptertest.Reference(id, []byte("content"))
	if got := w.Party("MUNI").Send(withFile(ref)); got.Fault == nil || got.Fault.Kind != envelopes.AttachmentContentMiscoordination {
		t.Errorf("a file that was cut: %v, want that it is not there", got.Fault)
	}
	plain = c.data("EPSV")
	c.say("STOR "+id+"/f", "150")
	data = tls.Client(plain, config)
	if _, err := data.Write([]byte("content")); err != nil {
		t.Fatal(err)
	}
	data.Close()
	if got := c.answer(); !strings.HasPrefix(got, "226") {
		t.Errorf("the whole upload: %q, want 226", got)
	}
	accepted(t, w.Party("MUNI").Send(withFile(ref)))

	// A data connection that does not speak TLS brings nothing.
	plain = c.data("EPSV")
	c.say("STOR "+w.NewMessageID()+"/f", "150")
	io.WriteString(plain, "GET / HTTP/1.1\r\n\r\n")
	if got := c.answer(); !strings.HasPrefix(got, "522") {
		t.Errorf("a data connection in the clear: %q, want 522", got)
	}
	c.say("QUIT", "221")

	// What was sent behind AUTH in the clear is nobody's command.
	c = ftpCall(t, w)
	if got := c.say("AUTH TLS\r\nUSER anonymous\r\nPASS smev", "421"); !strings.HasPrefix(got, "421") || c.answer() != "EOF" {
		t.Errorf("commands behind AUTH: %q, want the end", got)
	}
	// A client that means another protocol is not taken in.
	other := config.Clone()
	other.NextProtos = []string{"http/1.1"}
	if err := ftpCall(t, w).under(other); err == nil {
		t.Error("a client of HTTP got under TLS at the FTP door")
	}
	w.Check()
}

// Clients in use go under TLS and bring and fetch files there.
func TestFTPClientsUnderTLS(t *testing.T) {
	t.Parallel()
	w, roots, ca := ftpsWorld(t, nil)
	content := bytes.Repeat([]byte("план "), 50_000)
	file := filepath.Join(t.TempDir(), "f.zip")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(w.FTPAddress)
	run := func(t *testing.T, program string, args ...string) string {
		t.Helper()
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed", program)
		}
		out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", program, err, out)
		}
		return string(out)
	}
	for name, client := range map[string]struct {
		bring func(t *testing.T, id string)
		fetch func(t *testing.T, f envelopes.FSAttachment) []byte
	}{
		"mezhved": {
			nil,
			func(t *testing.T, f envelopes.FSAttachment) []byte {
				var got bytes.Buffer
				if err := (&party.FileStore{URL: "ftpes://" + w.FTPAddress, Roots: roots}).Fetch(t.Context(), f, adaptertest.Reference("", content).Hash, &got); err != nil {
					t.Fatal(err)
				}
				return got.Bytes()
			},
		},
		"curl": {
			func(t *testing.T, id string) {
				run(t, "curl", "-sS", "--ssl-reqd", "--cacert", ca, "-u", "anonymous:smev", "--ftp-create-dirs", "-T", file, fmt.Sprintf("ftp://%s/%s/f.zip", w.FTPAddress, id))
			},
			func(t *testing.T, f envelopes.FSAttachment) []byte {
				return []byte(run(t, "curl", "-sS", "--ssl-reqd", "--cacert", ca, "-u", f.UserName+":"+f.Password, fmt.Sprintf("ftp://%s/%s/%s", w.FTPAddress, f.UUID, f.FileName)))
			},
		},
		"ftplib": {
			func(t *testing.T, id string) {
				run(t, "python3", "-c", `
import ftplib, ssl, sys
ca, host, port, id, file = sys.argv[1:]
f = ftplib.FTP_TLS(context=ssl.create_default_context(cafile=ca))
f.connect(host, int(port)); f.login("anonymous", "smev"); f.prot_p()
f.mkd(id); f.cwd(id)
f.storbinary("STOR f.zip", open(file, "rb"))
(name, facts), = f.mlsd()
assert name == "f.zip" and int(facts["size"]) == f.size("f.zip"), (name, facts)
f.quit()`, ca, host, port, id, file)
			},
			func(t *testing.T, f envelopes.FSAttachment) []byte {
				return []byte(run(t, "python3", "-c", `
import ftplib, ssl, sys
ca, host, port, user, password, name = sys.argv[1:]
f = ftplib.FTP_TLS(context=ssl.create_default_context(cafile=ca))
f.connect(host, int(port)); f.login(user, password); f.prot_p()
f.retrbinary("RETR " + name, sys.stdout.buffer.write)
f.quit()`, ca, host, port, f.UserName, f.Password, f.FileName))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			id := w.NewMessageID()
			if client.bring != nil {
				client.bring(t, id)
			} else {
				ref, err := (&party.FileStore{URL: "ftpes://" + w.FTPAddress, Roots: roots, Clock: w.Clock.Now}).Bring(t.Context(), "f.zip", "application/zip", party.Bytes(content))
				if err != nil {
					t.Fatal(err)
				}
				id = ref.UUID
			}
			sent := accepted(t, w.Party("MUNI").Send(withFile(adaptertest.Reference(id, content))))
			got := w.Party("REGISTRY").Await(envelopes.GetRequest, "").Message
			if len(got.Files) != 1 || got.Files[0].UUID != id {
				t.Fatalf("delivered with %+v", got.Files)
			}
			if fetched := client.fetch(t, got.Files[0]); !bytes.Equal(fetched, content) {
				t.Errorf("fetched %d bytes, want the %d that were brought", len(fetched), len(content))
			}
			accepted(t, w.Party("REGISTRY").Ack(sent.Receipt.MessageID))
		})
	}
	w.Check()
}

// Over IPv6 data connections are told by EPSV; PASV has no words for it.
func TestFTPOverIPv6(t *testing.T) {
	t.Parallel()
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("this machine has no IPv6")
	} else {
		l.Close()
	}
	w := adaptertest.Start(t, adaptertest.WithFiles(func(c *adapter.Config) { c.FTP.Listen = "[::1]:0" }))
	c := ftpCall(t, w)
	id := w.NewMessageID()
	for _, line := range [][2]string{{"USER anonymous", "331"}, {"PASS smev", "230"}, {"PASV", "425"}, {"EPSV 1", "522"}, {"AUTH TLS", "502"}, {"MKD " + id, "257"}} {
		c.say(line[0], line[1])
	}
	data := c.data("EPSV 2")
	c.say("STOR "+id+"/f", "150")
	io.WriteString(data, "content")
	data.Close()
	if got := c.answer(); !strings.HasPrefix(got, "226") {
		t.Errorf("the upload: %q, want 226", got)
	}
	accepted(t, w.Party("MUNI").Send(withFile(adaptertest.Reference(id, []byte("content")))))
	w.Check()
}
