package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func start(t *testing.T, opts PostgresOptions) *Postgres {
	t.Helper()
	p, err := StartPostgres(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// A cluster of the tests is in memory where there is room, with a log that is bounded, and
// nothing of it stays.
func TestAClusterInMemory(t *testing.T) {
	p := start(t, PostgresOptions{Memory: true})
	place, log := "/tmp", "2GB"
	if inMemory() {
		place, log = memoryFiles, memoryWAL
	}
	if got := filepath.Dir(p.dir); got != place {
		t.Errorf("it is in %s, want %s", got, place)
	}
	if got := query[string](t, p.URL("postgres"), "SHOW max_wal_size"); got != log {
		t.Errorf("its log grows to %s, want %s", got, log)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(p.dir); !os.IsNotExist(err) {
		t.Errorf("after its end: %v, want that %s is gone", err, p.dir)
	}
}

// What survives a crash has whole pages in its log, and compresses them as this server can.
func TestWholePagesAreCompressed(t *testing.T) {
	for _, durable := range []bool{true, false} {
		p := start(t, PostgresOptions{Durable: durable})
		can := query[[]string](t, p.URL("postgres"), "SELECT enumvals FROM pg_settings WHERE name = 'wal_compression'")
		want := "off"
		if durable {
			want = "pglz"
			if slices.Contains(can, "lz4") {
				want = "lz4"
			}
		}
		if got := query[string](t, p.URL("postgres"), "SHOW wal_compression"); got != want {
			t.Errorf("durable %t: %s, want %s of %v", durable, got, want, can)
		}
		if got := query[string](t, p.URL("postgres"), "SHOW default_toast_compression"); want == "lz4" && got != want {
			t.Errorf("durable %t: long values are compressed by %s, want %s", durable, got, want)
		}
	}
}

func TestKeptDirectory(t *testing.T) {
	// As root this directory is closed to the user that the server runs as,
	// like the ones that mktemp -d makes.
	closed := t.TempDir()
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(closed, "postgres")

	p := start(t, PostgresOptions{Dir: dir, Durable: true})
	if err := p.Create(context.Background(), "mezhved"); err != nil {
		t.Fatal(err)
	}
	first := p.URL("mezhved")
	do(t, first, "CREATE TABLE kept AS SELECT 7 AS n")
	if got, want := query[string](t, first, "SHOW fsync"), "on"; got != want {
		t.Errorf("fsync of a durable cluster is %s, want %s", got, want)
	}
	if got, want := query[string](t, first, "SHOW listen_addresses"), ""; got != want {
		t.Errorf("listens on %q, want no address", got)
	}

	_, err := StartPostgres(context.Background(), PostgresOptions{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "locked") {
		t.Errorf("a second start on a used directory: %v, want an error about the lock", err)
	}
	if got := query[int](t, first, "SELECT n FROM kept"); got != 7 {
		t.Errorf("after the refused second start: %d, want 7", got)
	}

	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	p = start(t, PostgresOptions{Dir: dir, Durable: true})
	if got, want := p.URL("mezhved"), first; got != want {
		t.Errorf("URL after a restart is %s, want the same as before, %s", got, want)
	}
	if got := query[int](t, p.URL("mezhved"), "SELECT n FROM kept"); got != 7 {
		t.Errorf("after a restart: %d, want 7", got)
	}
	if err := p.Create(context.Background(), "mezhved"); err != nil {
		t.Errorf("creating a database that exists: %v", err)
	}
}

func TestTemporaryDirectoryGoes(t *testing.T) {
	p := start(t, PostgresOptions{Settings: map[string]string{"port": "54321", "work_mem": "7MB"}})
	if got, want := query[string](t, p.URL("postgres"), "SHOW work_mem"), "7MB"; got != want {
		t.Errorf("work_mem is %s, want the given %s", got, want)
	}
	do(t, p.URL("postgres"), "SELECT 1")
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	gone(t, p.dir)
	gone(t, p.socket)
}

func TestKillAndStart(t *testing.T) {
	p := start(t, PostgresOptions{Durable: true, Dir: filepath.Join(t.TempDir(), "pg")})
	do(t, p.URL("postgres"), "CREATE TABLE kept AS SELECT 7 AS n")
	for range 3 {
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		if conn, err := pgx.Connect(context.Background(), p.URL("postgres")); err == nil {
			conn.Close(context.Background())
			t.Fatal("a killed server answers")
		}
		if err := p.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := query[int](t, p.URL("postgres"), "SELECT n FROM kept"); got != 7 {
			t.Fatalf("after a kill: %d, want 7", got)
		}
	}
}

// child starts this binary in a role and gives what it prints first.
func child(t *testing.T, role, dir string) (*osexec.Cmd, string) {
	t.Helper()
	cmd := osexec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "MEZHVED_TEST_ROLE="+role, "MEZHVED_TEST_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.HasPrefix(line, "error") {
		t.Fatalf("child says %q, %v", line, err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd, strings.TrimSpace(line)
}

func TestServerEndsWithItsParent(t *testing.T) {
	cmd, line := child(t, "postgres-exit", "")
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	url, dir, _ := strings.Cut(line, " ")
	gone(t, dir)
	gone(t, strings.TrimPrefix(url, "postgres://postgres@/postgres?host="))
}

func TestServerEndsWhenItsParentIsKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pg")
	cmd, url := child(t, "postgres", dir)
	do(t, url, "CREATE TABLE kept AS SELECT 7 AS n")
	cmd.Process.Kill()
	cmd.Wait()

	// At once: the old server may still be shutting down.
	p := start(t, PostgresOptions{Dir: dir, Durable: true})
	if got := query[int](t, p.URL("postgres"), "SELECT n FROM kept"); got != 7 {
		t.Errorf("after the parent was killed: %d, want 7", got)
	}
}

func TestOrphanIsStopped(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("finds the watcher through /proc")
	}
	dir := filepath.Join(t.TempDir(), "pg")
	cmd, url := child(t, "postgres", dir)
	do(t, url, "CREATE TABLE kept AS SELECT 7 AS n")
	pid, err := postmaster(filepath.Join(dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	// The watcher is the server's parent. Kill both, watcher first and with
	// its whole process group but the server, so that nobody stops it.
	watcher := parentOf(t, pid)
	for _, c := range childrenOf(watcher) {
		if c != pid {
			syscall.Kill(c, syscall.SIGKILL)
		}
	}
	syscall.Kill(watcher, syscall.SIGKILL)
	cmd.Process.Kill()
	cmd.Wait()
	if got := query[int](t, url, "SELECT n FROM kept"); got != 7 {
		t.Fatalf("the orphan does not serve: %d", got)
	}

	p := start(t, PostgresOptions{Dir: dir, Durable: true})
	if now, _ := postmaster(filepath.Join(dir, "data")); now == pid {
		t.Error("the orphan still serves the directory")
	}
	if got := query[int](t, p.URL("postgres"), "SELECT n FROM kept"); got != 7 {
		t.Errorf("after the orphan: %d, want 7", got)
	}
}

func TestStaleProcessIDIsNobodyElsesDeath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pg")
	p := start(t, PostgresOptions{Dir: dir})
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	// The number in a stale file belongs to another process now: ours.
	stale := fmt.Sprintf("%d\n%s\n0\n5432\n%s\n\n0 0\nready\n", os.Getpid(), filepath.Join(dir, "data"), p.socket)
	if err := os.WriteFile(filepath.Join(dir, "data", "postmaster.pid"), []byte(stale), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := stopOrphan(filepath.Join(dir, "data")); err != nil {
		t.Errorf("an unrelated process in postmaster.pid: %v", err)
	}
}

func TestNoBinaries(t *testing.T) {
	never := func(context.Context) (string, error) { t.Error("a release that cannot do was fetched"); return "", nil }
	t.Setenv("PGBIN", t.TempDir())
	_, err := findBinaries(context.Background(), 0, never)
	if !errors.Is(err, ErrNoPostgres) {
		t.Errorf("PGBIN without programs: %v, want ErrNoPostgres", err)
	}

	t.Setenv("PGBIN", "")
	if _, err = findBinaries(context.Background(), 99, never); !errors.Is(err, ErrNoPostgres) {
		t.Fatalf("release 99: %v, want ErrNoPostgres", err)
	}
}

func TestDatabasePerTest(t *testing.T) {
	migrations := 0
	migrate := func(ctx context.Context, url string) error {
		migrations++
		return execute(ctx, url, "CREATE TABLE made_by_migration (n int)")
	}
	var urls []string
	for range 2 {
		t.Run("", func(t *testing.T) {
			url := Test(t, migrate)
			if got := query[int](t, url, "SELECT count(*) FROM made_by_migration"); got != 0 {
				t.Errorf("%d rows, want a database of its own", got)
			}
			do(t, url, "INSERT INTO made_by_migration VALUES (1)")
			urls = append(urls, url)
		})
	}
	if urls[0] == urls[1] {
		t.Error("two tests share a database")
	}
	if os.Getenv("DATABASE_URL") == "" && migrations != 1 {
		t.Errorf("migrated %d times, want once", migrations)
	}
	if err := execute(context.Background(), urls[0], "SELECT 1"); err == nil {
		t.Error("the database outlives its test")
	}
}

func parentOf(t *testing.T, pid int) int {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	var parent int
	var state string
	_, rest, _ := strings.Cut(string(stat), ") ")
	if _, err := fmt.Sscan(rest, &state, &parent); err != nil {
		t.Fatal(err)
	}
	return parent
}

// gone waits until a path has been removed by the watcher.
func gone(t *testing.T, path string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s is still there", path)
		}
	}
}

// A child that outlives its killed postmaster holds the shared memory; the next
// start ends it instead of waiting for ever.
func TestStartEndsWhatAKilledServerLeft(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("children that were left are ended on Linux only")
	}
	ctx := context.Background()
	p, err := StartPostgres(ctx, PostgresOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	pid, err := postmaster(p.data())
	if err != nil {
		t.Fatal(err)
	}
	children := childrenOf(pid)
	if len(children) == 0 {
		t.Fatal("the server has no children")
	}
	// A stopped process cannot notice that its parent has died.
	if err := syscall.Kill(children[0], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.server.done
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if serves(children[0], p.data()) {
		t.Errorf("process %d of the killed server is still there", children[0])
	}
}

// A standby has what was committed, and goes on alone when it is promoted after
// the first server's death.
func TestStandby(t *testing.T) {
	ctx := context.Background()
	p := start(t, PostgresOptions{Durable: true})
	do(t, p.URL("postgres"), "CREATE TABLE kept AS SELECT 7 AS n")
	s, err := p.Standby(ctx, PostgresOptions{Dir: t.TempDir(), Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	do(t, p.URL("postgres"), "ALTER SYSTEM SET synchronous_standby_names = '*'")
	do(t, p.URL("postgres"), "SELECT pg_reload_conf()")
	for end := time.Now().Add(time.Minute); query[int](t, p.URL("postgres"), "SELECT count(*)::int FROM pg_stat_replication WHERE sync_state = 'sync'") == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the standby is not waited for")
		}
	}
	do(t, p.URL("postgres"), "UPDATE kept SET n = 8")
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if !query[bool](t, s.URL("postgres"), "SELECT pg_promote()") {
		t.Fatal("the standby is not promoted")
	}
	do(t, s.URL("postgres"), "UPDATE kept SET n = n + 1")
	if got, want := query[int](t, s.URL("postgres"), "SELECT n FROM kept"), 9; got != want {
		t.Errorf("the promoted standby has %d, want %d", got, want)
	}
}
