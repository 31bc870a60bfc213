package journaltest

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/fstest"
	"time"
)

// Mutations is how many random mutations each tampering test tries:
// MEZHVED_MUTATIONS sets it, for the long run.
func Mutations(t testing.TB) int {
	n, err := strconv.Atoi(os.Getenv("MEZHVED_MUTATIONS"))
	switch {
	case err == nil:
		return n
	case testing.Short():
		return 200
	}
	return 1000
}

// CostlyMutations is Mutations for what takes milliseconds to try: fewer, unless
// MEZHVED_MUTATIONS says how many.
func CostlyMutations(t testing.TB) int {
	n := Mutations(t)
	if os.Getenv("MEZHVED_MUTATIONS") == "" {
		n /= 5
	}
	return n
}

// Mutate changes, adds, removes or moves bytes; the result differs from b.
func Mutate(r *rand.Rand, b []byte) []byte {
	for {
		out := slices.Clone(b)
		i := 0
		if len(b) > 0 {
			i = r.IntN(len(b))
		}
		switch k := r.IntN(6); {
		case k <= 1 && len(b) > 0: // one bit
			out[i] ^= 1 << r.IntN(8)
		case k == 2 && len(b) > 0: // one byte, of the kind that texts are made of
			out[i] = "0123456789abcdefABZ+/=\n\" "[r.IntN(25)]
		case k == 3: // insert
			out = slices.Insert(out, i, byte(r.IntN(256)))
		case k == 4 && len(b) > 0: // remove a run
			out = slices.Delete(out, i, min(len(b), i+1+r.IntN(40)))
		case k == 5 && len(b) > 1: // swap two runs
			j, n := r.IntN(len(b)), 1+r.IntN(32)
			for x := range n {
				if i+x < len(b) && j+x < len(b) {
					out[i+x], out[j+x] = out[j+x], out[i+x]
				}
			}
		}
		if !bytes.Equal(out, b) {
			return out
		}
	}
}

// Random is a source that says how it began, so that what fails can be repeated.
func Random(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("MEZHVED_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("MEZHVED_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 7))
}

// QuickDir is a folder of the test's own where syncing costs nothing, if the system
// has one.
func QuickDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "mezhved-mirror-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// FS is a folder of files in memory.
type FS map[string][]byte

// Open implements fs.FS.
func (m FS) Open(name string) (fs.File, error) {
	if b, ok := m[name]; ok {
		return fstest.MapFS{name: {Data: b}}.Open(name)
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}
