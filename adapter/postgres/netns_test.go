package postgres_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	program "os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/embedded"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/postgres"
)

const otherHost = "MEZHVED_TEST_OTHER_HOST" // URL of the database, for the process on it

// TestLeaderOnAnotherHost is the process of TestADeadHost: it leads, and holds the
// head of the log in a transaction until it is killed.
func TestLeaderOnAnotherHost(t *testing.T) {
	url := os.Getenv(otherHost)
	if url == "" {
		t.Skip("a part of TestADeadHost")
	}
	ctx := context.Background()
	s, err := postgres.Open(ctx, postgres.Options{URL: url, Node: "dead"})
	if err != nil {
		t.Fatal(err)
	}
	j, err := s.Journal(ctx, journaltest.Origin, journaltest.NewDesk(t).Vault)
	if err != nil {
		t.Fatal(err)
	}
	st, err := j.Look(ctx, clerk.Claim{Want: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Fatal(j.Sequence(ctx, st.Term, func(tx clerk.Tx) error {
		if _, err := tx.Head(ctx); err != nil {
			return err
		}
		fmt.Println("leads")
		time.Sleep(time.Hour)
		return nil
	}))
}

// A host of its own, in a network namespace, leads and holds the head of the log;
// then its packets vanish and it dies. Another node leads after the term, and the
// server is rid of the dead host's sessions although nobody has ended them.
func TestADeadHost(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may make network namespaces")
	}
	if _, err := program.LookPath("ip"); err != nil {
		t.Skip("iproute2 is not installed")
	}
	number := os.Getpid() % 250
	space, here, there := fmt.Sprintf("mzh%d", number), fmt.Sprintf("mzha%d", number), fmt.Sprintf("mzhb%d", number)
	ours, theirs := fmt.Sprintf("10.213.%d.1", number), fmt.Sprintf("10.213.%d.2", number)
	ip := func(args ...string) error {
		out, err := program.Command("ip", args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %v: %w: %s", args, err, out)
		}
		return nil
	}
	if err := ip("netns", "add", space); err != nil {
		t.Skipf("network namespaces cannot be made here: %v", err)
	}
	t.Cleanup(func() { ip("netns", "del", space); ip("link", "del", here) })
	for _, args := range [][]string{
		{"link", "add", here, "type", "veth", "peer", "name", there, "netns", space},
		{"addr", "add", ours + "/30", "dev", here}, {"link", "set", here, "up"},
		{"-n", space, "addr", "add", theirs + "/30", "dev", there}, {"-n", space, "link", "set", there, "up"}, {"-n", space, "link", "set", "lo", "up"},
	} {
		if err := ip(args...); err != nil {
			t.Skip(err)
		}
	}

	ctx := context.Background()
	l, err := net.Listen("tcp", ours+":0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	dir := t.TempDir()
	p, err := embedded.StartPostgres(ctx, embedded.PostgresOptions{Dir: filepath.Join(dir, "postgres"), Settings: map[string]string{"listen_addresses": ours, "port": port}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop() })
	hba, err := os.OpenFile(filepath.Join(dir, "postgres", "data", "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(hba, "host all postgres %s/32 trust\n", theirs)
	hba.Close()
	admin, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(ctx)
	if _, err := admin.Exec(ctx, "SELECT pg_reload_conf()"); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(ctx, p.URL("postgres")); err != nil {
		t.Fatal(err)
	}

	child := program.Command("ip", "netns", "exec", space, os.Args[0], "-test.run=^TestLeaderOnAnotherHost$", "-test.v")
	child.Env = append(os.Environ(), fmt.Sprintf("%s=postgres://postgres@%s:%s/postgres?sslmode=disable", otherHost, ours, port))
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { child.Process.Kill(); child.Wait() })
	said := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if said += lines.Text() + "\n"; lines.Text() == "leads" {
			break
		}
	}
	sessions := func() (n int) {
		if err := admin.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE client_addr = $1::inet", theirs).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if sessions() == 0 {
		t.Fatalf("the other host does not lead:\n%s", said)
	}
	died := time.Now()
	if err := ip("link", "set", here, "down"); err != nil { // nobody is told
		t.Fatal(err)
	}
	child.Process.Kill()

	w := &archive{Desk: journaltest.NewDesk(t), url: p.URL("postgres")}
	j := w.member(t, "alive", 0)
	if err := j.Append(ctx, journaltest.Events(47, 10)...); err != nil {
		t.Fatal(err)
	}
	placed := func() bool {
		w.Settle(w.Sequencer(j))
		head, err := j.Head(ctx)
		return err == nil && head.Tree.N >= 10
	}
	for end := died.Add(2 * time.Minute); !placed(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nobody takes the lead from a dead host")
		}
	}
	t.Logf("the other node led %s after the host had died", time.Since(died).Round(10*time.Millisecond))
	for end := died.Add(2 * time.Minute); sessions() > 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d sessions of the dead host are still there", sessions())
		}
	}
	t.Logf("the server was rid of its sessions after %s", time.Since(died).Round(10*time.Millisecond))
}
