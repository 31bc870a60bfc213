package files

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jlaffaye/ftp"

	"mezhved/adapter"
	"mezhved/adapter/yamlfile"
)

// openDoor runs a door over an index of memory.
func openDoor(t testing.TB, change func(*adapter.FTPConfig)) (*Store, *Door, *memory) {
	t.Helper()
	index := newMemory()
	s := openStore(t, index, adapter.Config{Files: adapter.FilesConfig{File: 20 << 20}}.WithDefaults().Files)
	c := adapter.Config{FTP: adapter.FTPConfig{Listen: "127.0.0.1:0"}}.WithDefaults().FTP
	if change != nil {
		change(&c)
	}
	d, err := s.Listen(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the door does not close")
		}
	})
	return s, d, index
}

// caller speaks FTP line by line.
type caller struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

func call(t testing.TB, d *Door) *caller {
	t.Helper()
	conn, err := net.Dial("tcp", d.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &caller{t, conn, bufio.NewReader(conn)}
	return c
}

// answer reads an answer, all lines of it.
func (c *caller) answer() string {
	c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	var all strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		all.WriteString(line)
		if err != nil {
			return all.String() + "EOF"
		}
		if len(line) > 3 && line[3] == ' ' && line[0] != ' ' {
			return all.String()
		}
	}
}

// say sends a line and demands the code of its answer.
func (c *caller) say(line, code string) string {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, line+"\r\n"); err != nil {
		c.t.Fatalf("%.80q: %v", line, err)
	}
	got := c.answer()
	if !strings.HasPrefix(got, code) {
		c.t.Errorf("%.80q is answered %q, want %s", line, got, code)
	}
	return got
}

func (c *caller) login() *caller {
	c.t.Helper()
	if got := c.answer(); !strings.HasPrefix(got, "220") {
		c.t.Fatalf("greeted with %q", got)
	}
	c.say("USER anonymous", "331")
	c.say("PASS smev", "230")
	return c
}

// data opens the data connection of the last EPSV.
func (c *caller) data() net.Conn {
	c.t.Helper()
	got := c.say("EPSV", "229")
	port := regexp.MustCompile(`\(\|\|\|(\d+)\|\)`).FindStringSubmatch(got)
	host, _, _ := net.SplitHostPort(c.conn.RemoteAddr().String())
	conn, err := net.Dial("tcp", net.JoinHostPort(host, port[1]))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	return conn
}

// What clients do: the official order, and the shapes seen elsewhere.
func TestBringing(t *testing.T) {
	_, d, index := openDoor(t, nil)
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	for _, epsv := range []bool{false, true} {
		c, err := ftp.Dial(d.Addr().String(), ftp.DialWithTimeout(10*time.Second), ftp.DialWithDisabledEPSV(epsv))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Login("Anonymous", "any"); err != nil {
			t.Fatal(err)
		}
		a, b := newID(t), newID(t)
		if err := c.MakeDir(a.String()); err != nil {
			t.Error(err)
		}
		if err := c.ChangeDir(a.String()); err != nil {
			t.Error(err)
		}
		if err := c.Stor("план.zip", bytes.NewReader(content)); err != nil {
			t.Error(err)
		}
		if err := c.Stor("/"+strings.ToUpper(b.String())+"/план.zip", bytes.NewReader(content[:10])); err != nil { // no MKD
			t.Error(err)
		}
		if n, err := c.FileSize("план.zip"); err != nil || n != int64(len(content)) {
			t.Errorf("size %d, %v", n, err)
		}
		if list, err := c.List("/"); err != nil || len(list) != 2 {
			t.Errorf("listed %v, %v", list, err)
		}
		if list, err := c.List("/" + b.String()); err != nil || len(list) != 1 || list[0].Size != 10 {
			t.Errorf("listed %v, %v", list, err)
		}
		if err := c.Append("/"+b.String()+"/план.zip", strings.NewReader("more")); err != nil {
			t.Error(err)
		}
		if err := c.ChangeDirToParent(); err != nil {
			t.Error(err)
		}
		if err := c.RemoveDir(b.String()); err != nil {
			t.Error(err)
		}
		index.mu.Lock()
		if e := index.entries[a]; !e.Whole || e.Size != int64(len(content)) || len(index.entries) != 1 {
			t.Errorf("in the index: %+v", index.entries)
		}
		delete(index.entries, a)
		index.mu.Unlock()
		c.Quit()
	}
}

func TestConversation(t *testing.T) {
	_, d, _ := openDoor(t, nil)
	c := call(t, d)
	if got := c.answer(); !strings.HasPrefix(got, "220") {
		t.Fatal(got)
	}
	id := newID(t).String()
	for _, line := range [][2]string{
		{"PWD", "530"}, {"STOR x", "530"}, {"PASV", "530"}, {"PASS x", "503"}, {"user anonymous", "331"}, {"PASS", "230"},
		{"SYST", "215"}, {"FEAT", "211"}, {"OPTS UTF8 ON", "200"}, {"OPTS X", "501"}, {"TYPE I", "200"}, {"TYPE A", "200"}, {"MODE S", "200"}, {"STRU F", "200"},
		{"PWD", `257 "/"`}, {"CWD /", "250"}, {"CWD ..", "250"}, {"CDUP", "250"}, {"CWD x", "553"}, {"CWD " + id, "550"}, {"MKD x", "553"}, {"MKD " + id + "/" + id, "553"}, {"MKD", "553"},
		{"MKD " + id, "257"}, {"MKD " + id, "257"}, {"XCWD " + strings.ToUpper(id), "250"}, {"PWD", `257 "/` + id}, {"CWD ../../../..", "250"}, {"PWD", `257 "/"`},
		{"STOR " + id + "/f", "425"}, {"RETR " + id + "/f", "550"}, {"SIZE " + id + "/f", "550"}, {"STOR f", "553"}, {"STOR a/b/c", "553"}, {"STOR ../../etc/passwd", "425"},
		{"REST -1", "501"}, {"REST x", "501"}, {"REST 99999999999999999999", "501"}, {"REST 5", "350"}, {"PORT 127,0,0,1,0,80", "502"}, {"EPRT |1|127.0.0.1|80|", "502"},
		{"RNFR a", "502"}, {"SITE CHMOD 777 a", "502"}, {"AUTH TLS", "502"}, {"NOOP", "200"}, {"ABOR", "226"}, {"\xff\xf4\xff\xf2ABOR", "226"}, {"EPSV ALL", "200"}, {"WHAT", "502"}, {"", "502"},
		{"LIST", "425"}, {"DELE " + id + "/nothing", "550"}, {"DELE " + id, "250"}, {"RMD " + id, "550"}, {"USER other", "331"}, {"PWD", "530"}, {"QUIT", "221"},
	} {
		c.say(line[0], line[1])
	}
	if got := c.answer(); got != "EOF" {
		t.Errorf("after QUIT: %q", got)
	}
}

// An upload breaks off: what came is kept, not taken for the file, and gone on
// with.
func TestBrokenUpload(t *testing.T) {
	_, d, index := openDoor(t, func(c *adapter.FTPConfig) { c.Stall = yamlfile.Period(300 * time.Millisecond) })
	c := call(t, d).login()
	id := newID(t)
	for _, breaks := range []func(*net.TCPConn){
		func(c *net.TCPConn) { c.SetLinger(0); c.Close() }, // reset
		func(*net.TCPConn) {},                              // nothing moves
	} {
		data := c.data()
		c.say("STOR "+id.String()+"/f", "150")
		data.Write([]byte("first"))
		time.Sleep(100 * time.Millisecond)
		breaks(data.(*net.TCPConn))
		if got := c.answer(); !strings.HasPrefix(got, "426") {
			t.Errorf("broken off: %q", got)
		}
		index.mu.Lock()
		if e := index.entries[id]; e.Whole || e.Size != 5 {
			t.Errorf("kept: %+v", e)
		}
		index.mu.Unlock()
	}
	if got := c.say("SIZE "+id.String()+"/f", "213"); !strings.HasPrefix(got, "213 5") {
		t.Error(got)
	}
	data := c.data()
	c.say("REST 5", "350")
	c.say("STOR "+id.String()+"/f", "150")
	io.WriteString(data, " second")
	data.Close()
	if got := c.answer(); !strings.HasPrefix(got, "226") {
		t.Error(got)
	}
	index.mu.Lock()
	defer index.mu.Unlock()
	if e := index.entries[id]; !e.Whole || e.Size != 12 {
		t.Errorf("gone on with: %+v", e)
	}
}

// The index is out of order: said as that, and nothing is promised.
func TestDoorWithoutIndex(t *testing.T) {
	_, d, index := openDoor(t, nil)
	c := call(t, d).login()
	index.mu.Lock()
	index.broken = fmt.Errorf("down")
	index.mu.Unlock()
	id := newID(t).String()
	c.say("MKD "+id, "451")
	c.data()
	c.say("STOR "+id+"/f", "451")
}

// Connections on which nothing is brought do not hold the door shut: the next one
// takes the place of whoever has moved nothing for longest.
func TestIdleConnectionsGiveWay(t *testing.T) {
	s := openStore(t, newMemory(), adapter.Config{}.WithDefaults().Files)
	d, err := s.Listen(adapter.Config{FTP: adapter.FTPConfig{Listen: "127.0.0.1:0", Connections: 3}}.WithDefaults().FTP)
	if err != nil {
		t.Fatal(err)
	}
	var later atomic.Int64
	d.now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	done := make(chan error, 1)
	go func() { done <- d.Run(t.Context()) }()
	t.Cleanup(func() { <-done })

	brings, first, second := call(t, d).login(), call(t, d).login(), call(t, d).login()
	if got := call(t, d).answer(); !strings.HasPrefix(got, "421") {
		t.Errorf("while all have just come: %q", got)
	}
	later.Store(int64(time.Minute))
	id := newID(t).String()
	brings.say("MKD "+id, "257")
	data := brings.data()
	brings.say("STOR "+id+"/plan.txt", "150")
	io.WriteString(data, "a plan")
	data.Close()
	if got := brings.answer(); !strings.HasPrefix(got, "226") {
		t.Errorf("bringing: %q", got)
	}
	first.say("NOOP", "200") // alive, and brings nothing
	next := call(t, d).login()
	if got := first.answer(); got != "EOF" {
		t.Errorf("the one that came first and has brought nothing: %q, want its connection closed", got)
	}
	for name, c := range map[string]*caller{"the one that brings": brings, "the second": second, "the next": next} {
		if got := c.say("NOOP", "200"); !strings.HasPrefix(got, "200") {
			t.Errorf("%s: %q", name, got)
		}
	}
	later.Store(int64(2 * time.Minute))
	last, more := call(t, d).login(), call(t, d).login()
	last.say("NOOP", "200")
	more.say("NOOP", "200")
	if got := second.answer(); got != "EOF" {
		t.Errorf("the second: %q, want its connection closed", got)
	}
}

func TestBounds(t *testing.T) {
	_, d, _ := openDoor(t, func(c *adapter.FTPConfig) {
		c.Connections, c.PerAddress, c.Silence = 3, 2, yamlfile.Period(400*time.Millisecond)
	})
	one, two := call(t, d), call(t, d)
	one.answer()
	two.answer()
	if got := call(t, d).answer(); !strings.HasPrefix(got, "421") {
		t.Errorf("a third connection from one address: %q", got)
	}
	// Silent ones are closed, and make room.
	if got := one.answer(); !strings.HasPrefix(got, "421") {
		t.Errorf("after silence: %q", got)
	}
	two.answer()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c := call(t, d)
		if strings.HasPrefix(c.answer(), "220") {
			// A line without end.
			io.WriteString(c.conn, "STOR "+strings.Repeat("x", 10_000))
			if got := c.answer(); !strings.HasPrefix(got, "500") && got != "EOF" {
				t.Errorf("a long line: %q", got)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatal("no room after the silent ones have gone")
		}
	}
}

func TestWrongLogins(t *testing.T) {
	_, d, _ := openDoor(t, func(c *adapter.FTPConfig) {
		c.PasswordFile = filepath.Join(t.TempDir(), "password")
		os.WriteFile(c.PasswordFile, []byte("secret\n"), 0o600)
	})
	c := call(t, d)
	c.answer()
	for _, code := range []string{"530", "530", "421"} {
		c.say("USER anonymous", "331")
		c.say("PASS smev", code)
	}
	c = call(t, d)
	c.answer()
	c.say("USER anonymous", "331")
	c.say("PASS secret", "230")
}

// twoPorts finds two ports beside each other that are free, below those from
// which the system takes one for whoever calls out.
func twoPorts(t *testing.T) int {
	t.Helper()
	for range 100 {
		n := 20_000 + rand.IntN(10_000)
		free := 0
		for _, port := range []int{n, n + 1} {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err == nil {
				l.Close()
				free++
			}
		}
		if free == 2 {
			return n
		}
	}
	t.Fatal("no two free ports")
	return 0
}

// Data ports are of the configured range, closed after use, and of no use to
// others.
func TestDataPorts(t *testing.T) {
	first := twoPorts(t)
	_, d, _ := openDoor(t, func(c *adapter.FTPConfig) {
		c.Ports, c.Public = fmt.Sprintf("%d-%d", first, first+1), "10.20.30.40"
	})
	c := call(t, d).login()
	told := func(port int) string { return fmt.Sprintf("(10,20,30,40,%d,%d)", port>>8, port&255) }
	if got := c.say("PASV", "227"); !strings.Contains(got, told(first)) && !strings.Contains(got, told(first+1)) {
		t.Errorf("PASV: %q", got)
	}
	others := call(t, d).login()
	others.say("EPSV", "229")
	third := call(t, d).login()
	third.say("EPSV", "425")
	c.say("QUIT", "221")
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		io.WriteString(third.conn, "EPSV\r\n")
		if strings.HasPrefix(third.answer(), "229") {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the port of a session that has gone is not free")
		}
	}
	if _, err := (&Store{log: d.log}).Listen(adapter.FTPConfig{Listen: d.Addr().String()}); err == nil || !strings.Contains(err.Error(), d.Addr().String()) {
		t.Errorf("a taken address: %v", err)
	}
}

// FuzzPaths sends any path with any command that takes one. Whatever it is, the
// door answers each command, nothing is outside the directory, and what is inside
// bears names of ours.
func FuzzPaths(f *testing.F) {
	id := "6f1e2c1a-2f0b-1c3f-9a51-2f8f1d6f7a10"
	for _, p := range []string{"f", id + "/f", "/" + id + "/../../../etc/passwd", "..", "//", id + "/..", id + "/.", id + `/..\..\x`, id + "/\x00", id + "/a\nb", "~root", id + "/" + strings.Repeat("я", 200), "-la", id + "/\u202e", strings.Repeat("../", 50) + "tmp/x", "%2e%2e/x", id + "/part-x"} {
		f.Add(p, uint8(0))
	}
	verbs := []string{"STOR", "APPE", "MKD", "CWD", "RETR", "DELE", "RMD", "SIZE", "LIST", "NLST", "MLST", "MDTM"}
	s, d, index := openDoor(f, func(c *adapter.FTPConfig) { c.PerAddress, c.Connections = 1000, 1000 })
	outside := filepath.Dir(s.dir)
	ours := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/([a-z2-7]{26}|part-[A-Z2-7]{26})$`)
	f.Fuzz(func(t *testing.T, path string, n uint8) {
		if len(path) > 2000 || strings.ContainsAny(path, "\n") {
			return // a line of its own; see TestBounds
		}
		c := call(t, d).login()
		defer c.conn.Close()
		verb := verbs[int(n)%len(verbs)]
		for _, v := range []string{"MKD", "CWD", verb, "STOR"} {
			data := c.data()
			io.WriteString(c.conn, v+" "+path+"\r\n")
			io.WriteString(data, "x")
			data.Close()
			got := c.answer()
			if strings.HasPrefix(got, "150") {
				got = c.answer()
			}
			if !regexp.MustCompile(`^[2-5]\d\d[ -]`).MatchString(got) {
				t.Fatalf("%s %q is answered %q", v, path, got)
			}
		}
		for _, name := range onDisk(t, s) {
			if !ours.MatchString(name) {
				t.Fatalf("on the disk: %q", name)
			}
		}
		if list, _ := os.ReadDir(outside); len(list) != 1 {
			t.Fatalf("beside the directory: %v", list)
		}
		index.mu.Lock()
		defer index.mu.Unlock()
		for id, e := range index.entries {
			if err := checkName(e.Name); e.Blob != "" && err != nil {
				t.Fatalf("in the index: %q, %v", e.Name, err)
			}
			delete(index.entries, id)
			os.RemoveAll(s.path(id, ""))
		}
	})
}

// BenchmarkBring brings a file over FTP, digests and all.
func BenchmarkBring(b *testing.B) {
	_, d, _ := openDoor(b, nil)
	content := bytes.Repeat([]byte("0123456789abcdef"), 16<<20/16)
	c, err := ftp.Dial(d.Addr().String(), ftp.DialWithTimeout(10*time.Second))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Quit()
	if err := c.Login("anonymous", "smev"); err != nil {
		b.Fatal(err)
	}
	name := newID(b).String() + "/f"
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if err := c.Stor(name, bytes.NewReader(content)); err != nil {
			b.Fatal(err)
		}
	}
}
