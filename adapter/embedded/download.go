package embedded

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// release is the PostgreSQL that is fetched where the machine has none.
const release = embeddedpostgres.V18

// digests are the SHA-256 digests of the archives of that release, by platform
// as their publisher names it. An archive that does not match is not unpacked:
// its programs would run with the user's rights.
var digests = map[string]string{
	"linux-amd64":        "1974c3a59c3ae010e9818e81637e425aad94eaac26e4ef533b42e081fe7ca345",
	"linux-arm64v8":      "1fb555a6602c13a113ab1f0cc9224d599948e85e51ac5f001393605505eaf78e",
	"linux-amd64-alpine": "510fd314da39f1eeccef774a92428474168fedf55403342548e2adeaed66b483",
	"darwin-amd64":       "cb68c57232945f5e74db946e6077d70cec56bfed35959b21acc750cc80ca0977",
	"darwin-arm64v8":     "a18ec9ec6a905e04f5a08a8f7870bddadd635feb54dee332a3daf80fada3cb1a",
}

// mavenCentral is where the archives are published. MEZHVED_MAVEN names a mirror
// of it for machines that reach only that.
const mavenCentral = "https://repo1.maven.org/maven2"

func mavenRepository() string {
	if mirror := os.Getenv("MEZHVED_MAVEN"); mirror != "" {
		return strings.TrimRight(mirror, "/")
	}
	return mavenCentral
}

// Bounds of the download. The archive has 15 MB.
const (
	largestArchive = 64 << 20
	fetchSilence   = 30 * time.Second // so long without a byte, and it has failed
)

// fetch gives the directory of the programs in the user's cache, telling at the
// terminal what it does.
func fetch(ctx context.Context) (string, error) {
	cache, err := cacheDirectory()
	if err != nil {
		return "", err
	}
	return download(ctx, cache, os.Stderr)
}

// download gives the directory of the programs in a cache, fetching them first
// when it does not have them yet. What it does is told to say. All processes that
// want them at once wait for the one that fetches.
//
// The library knows the archives: their names, for which platform each is, and
// how they are packed twice over. It has no step that only fetches, so it is
// given a place for data that cannot be and ends there, before it runs anything;
// starting and stopping servers is our own, because of root, the socket and
// whoever dies. Its requests go through an archive (below), which lets pass only
// what has the digest that we know.
func download(ctx context.Context, cache string, say io.Writer) (string, error) {
	home := filepath.Join(cache, "postgres-"+string(release))
	bin := filepath.Join(home, "bin")
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	lock, err := awaitLock(ctx, filepath.Join(cache, "lock"))
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if _, err := os.Stat(bin); err == nil {
		return bin, nil // another process has been quicker
	}
	left, _ := filepath.Glob(filepath.Join(cache, "download-*"))
	for _, dir := range left { // of processes that were killed: we have their lock
		os.RemoveAll(dir)
	}
	scratch, err := os.MkdirTemp(cache, "download-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)

	a := &archive{ctx: ctx, from: mavenRepository(), say: say, cache: cache}
	scheme, err := a.register()
	if err != nil {
		return "", err
	}
	unpacked, complete := filepath.Join(scratch, "unpacked"), filepath.Join(scratch, "complete")
	err = embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(release).Port(0).Logger(io.Discard).
		BinaryRepositoryURL(scheme + "://archive").CachePath(scratch).
		BinariesPath(unpacked).RuntimePath(complete).DataPath("\x00")).Start()
	if a.err != nil {
		return "", a.err
	}
	// It makes this folder when everything has been unpacked, and not before.
	if _, e := os.Stat(complete); e != nil {
		return "", fmt.Errorf("unpacking PostgreSQL: %w", err)
	}
	if err := readable(unpacked); err != nil {
		return "", err
	}
	return bin, os.Rename(unpacked, home)
}

// readable lets everybody read what was unpacked, whatever umask there is: the
// server does not run as root.
func readable(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444
		if d.IsDir() || mode&0o100 != 0 {
			mode |= 0o111
		}
		return os.Chmod(path, mode)
	})
}

// cacheDirectory is where downloads are kept. The server does not run as root,
// so root's own cache, which only root may enter, will not do.
func cacheDirectory() (string, error) {
	if os.Geteuid() != 0 {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		dir := filepath.Join(base, "mezhved")
		return dir, os.MkdirAll(dir, 0o755)
	}
	const dir = "/var/cache/mezhved"
	return dir, errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o755))
}

// awaitLock takes a lock as soon as whoever has it lets go.
func awaitLock(ctx context.Context, path string) (*os.File, error) {
	for {
		lock, err := lockFile(path)
		if !errors.Is(err, errLocked) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// archive answers the library's two requests, for an archive and for its digest,
// as a repository would, under a scheme of its own.
type archive struct {
	ctx   context.Context
	from  string // the real repository
	say   io.Writer
	cache string
	err   error // why there is none; the library's own errors say less
}

var schemes atomic.Int64

func (a *archive) register() (scheme string, err error) {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return "", errors.New("the process has an HTTP transport of its own, through which PostgreSQL is not fetched")
	}
	scheme = fmt.Sprintf("mezhved-archive-%d", schemes.Add(1))
	t.RegisterProtocol(scheme, a)
	return scheme, nil
}

// RoundTrip is http.RoundTripper.
func (a *archive) RoundTrip(r *http.Request) (*http.Response, error) {
	name, ask := strings.CutSuffix(path.Base(r.URL.Path), ".sha256")
	platform := strings.TrimSuffix(strings.TrimPrefix(name, "embedded-postgres-binaries-"), "-"+string(release)+".jar")
	digest, known := digests[platform]
	var body []byte
	switch {
	case !known:
		a.err = fmt.Errorf("no archive for %s/%s is known", runtime.GOOS, runtime.GOARCH)
	case ask:
		body = []byte(digest)
	default:
		body, a.err = a.fetch(a.from+r.URL.Path, digest)
	}
	if a.err != nil {
		return nil, a.err
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)), Request: r,
	}, nil
}

// fetch gets one archive, telling how far it is.
func (a *archive) fetch(url, digest string) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(a.ctx)
	defer cancel(nil)
	silence := time.AfterFunc(fetchSilence, func() { cancel(fmt.Errorf("nothing has come for %s", fetchSilence)) })
	defer silence.Stop()
	fail := func(err error) ([]byte, error) {
		if c := context.Cause(ctx); c != nil {
			err = c
		}
		return nil, fmt.Errorf("fetching %s: %w", url, err)
	}

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fail(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fail(errors.Unwrap(err)) // a url.Error says the address once more
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fail(fmt.Errorf("the repository answers %s", resp.Status))
	}
	fmt.Fprintf(a.say, "No PostgreSQL on this machine: fetching release %s, once; it is kept in %s.\n", release, a.cache)
	var got bytes.Buffer
	told := int64(0)
	for buf := make([]byte, 64<<10); ; {
		n, err := resp.Body.Read(buf)
		got.Write(buf[:n])
		silence.Reset(fetchSilence)
		if got.Len() > largestArchive {
			return fail(fmt.Errorf("it has more than %d bytes", largestArchive))
		}
		if tenth := 10 * int64(got.Len()) / max(resp.ContentLength, 1); resp.ContentLength > 0 && tenth > told {
			told = tenth
			fmt.Fprintf(a.say, "%d %% of %.1f MB\n", 10*tenth, float64(resp.ContentLength)/1e6)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fail(err)
		}
	}
	if sum := sha256.Sum256(got.Bytes()); hex.EncodeToString(sum[:]) != digest {
		return fail(fmt.Errorf("SHA-256 is %x, want %s: it is not the archive that is known here", sum, digest))
	}
	return got.Bytes(), nil
}

// lastLines gives the end of a program's output, for an error message.
func lastLines(out []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
