package files

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"mezhved/adapter"
	"mezhved/adapter/embedded"
	"mezhved/adapter/postgres"
	"mezhved/adapter/yamlfile"
)

func TestMain(m *testing.M) {
	flag.Set("rapid.checks", "15") // on a real database; -rapid.checks=1000 for a long look
	os.Exit(m.Run())
}

// counted is a store with its S3 door on the real index, and what a reader of its
// promises thinks is in it.
type counted struct {
	*testing.T
	s       *Store
	index   *postgres.Store
	dir     string
	c       *client
	door    atomic.Pointer[S3]
	now     time.Time
	keys    []string // paths of files
	files   map[string][]*bringing
	uploads []*uploading
	left    int64 // bytes that crashes have left
}

type bringing struct {
	content string
	whole   bool
	upload  *uploading // that it was put together of, as long as only that has brought it
}

type uploading struct {
	id, key string
	parts   map[int]string
	tags    map[int]string
	ended   bool
}

func (u *uploading) size() (n int) {
	for _, p := range u.parts {
		n += len(p)
	}
	return n
}

func openCounted(t *testing.T) *counted {
	index, err := postgres.Open(t.Context(), postgres.Options{URL: embedded.Test(t, postgres.Migrate)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(index.Close)
	w := &counted{T: t, index: index, dir: filepath.Join(t.TempDir(), "files"), now: time.Now()}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.door.Load().ServeHTTP(rw, r) }))
	t.Cleanup(server.Close)
	w.c = &client{t: t, url: server.URL, access: "anonymous", secret: "smev", now: func() time.Time { return w.now }}
	return w
}

// start opens the store, as after a crash: what was in memory is not any more.
func (w *counted) start() {
	config := limits()
	config.Dir, config.Idle = w.dir, yamlfile.Period(1000*time.Hour)
	w.s = openStore(w, w.index, config)
	w.s.now = func() time.Time { return w.now }
	door, err := w.s.S3(adapter.Config{}.WithDefaults().FTP)
	if err != nil {
		w.Fatal(err)
	}
	w.door.Store(door)
}

// sweep looks round when everything on the disk is old.
func (w *counted) sweep(t *rapid.T) {
	age := time.Now().Add(-24 * time.Hour)
	for _, name := range onDisk(w, w.s) {
		os.Chtimes(filepath.Join(w.dir, name), age, age)
	}
	w.s.scanned = time.Time{}
	if _, err := w.s.sweep(w.Context()); err != nil {
		t.Fatal(err)
	}
	w.left = 0
}

// empty waits until everything has gone, and what counts with it.
func (w *counted) empty(t *rapid.T) {
	w.now = w.now.Add(1001 * time.Hour)
	w.sweep(t)
	w.files, w.uploads = nil, nil
	w.check(t)
	if names := onDisk(w, w.s); len(names) != 0 {
		t.Fatalf("left on the disk: %q", names)
	}
}

func (w *counted) onDisk() (bytes int64) {
	for _, name := range onDisk(w, w.s) {
		info, err := os.Stat(filepath.Join(w.dir, name))
		if err != nil {
			w.Fatal(err)
		}
		bytes += info.Size()
	}
	return bytes
}

// used is how much should count.
func (w *counted) used() (n int) {
	for _, there := range w.files {
		for _, f := range there {
			n += len(f.content)
		}
	}
	for _, u := range w.uploads {
		n += u.size()
	}
	return n
}

// check compares the three: what lies there, what counts, what should.
func (w *counted) check(t *rapid.T) {
	use, err := w.index.FileUse(w.Context(), "anonymous@127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	lies, should := w.onDisk()-w.left, int64(w.used())
	if lies != should || use.Bytes != should || use.OwnerBytes != should {
		t.Fatalf("on the disk %d bytes (and %d of crashes), counted %d and %d for the owner, should be %d", lies, w.left, use.Bytes, use.OwnerBytes, should)
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if w.s.all != 0 || len(w.s.flying) != 0 {
		t.Fatalf("uploads that have ended count as on their way: %d, %v", w.s.all, w.s.flying)
	}
}

func (w *counted) say(t *rapid.T, want int, method, path string, body []byte, headers ...string) string {
	status, h, answer := w.c.do(method, path, body, 0, headers...)
	if status != want {
		t.Fatalf("%s %s (%d bytes): %d %s, want %d", method, path, len(body), status, answer, want)
	}
	if tag := h.Get("ETag"); tag != "" {
		return tag
	}
	return answer
}

// begin begins an upload of parts.
func (w *counted) begin(key string) string {
	_, answer := w.c.must(200, "", "POST", key+"?uploads", nil)
	return regexp.MustCompile(`<UploadId>([A-Z2-7]{26})</UploadId>`).FindStringSubmatch(answer)[1]
}

// refused is the answer where beside lies there of the same file already and going
// bytes will go; 0: none.
func (w *counted) refused(size, beside, going int) int {
	config := w.s.config
	switch {
	case size+beside > int(config.File):
		return http.StatusBadRequest
	case size > int(config.Waiting)-w.used()+going:
		return http.StatusForbidden
	}
	return 0
}

// partial is what broke off under a key, and gives way to whatever comes next.
func (w *counted) partial(key string) (i, size int) {
	i = slices.IndexFunc(w.files[key], func(f *bringing) bool { return !f.whole })
	if i >= 0 {
		size = len(w.files[key][i].content)
	}
	return i, size
}

// bring is what bringing a file in a session of its own does to what is there.
func (w *counted) bring(key string, f *bringing) {
	there := w.files[key]
	if i := slices.IndexFunc(there, func(o *bringing) bool { return o.whole && f.whole && o.content == f.content }); i >= 0 {
		there[i].upload = nil
		return
	}
	if i, _ := w.partial(key); i >= 0 {
		there[i] = f
		return
	}
	w.files[key] = append(there, f)
}

func idOf(key string) uuid.UUID { return uuid.MustParse(strings.Split(key, "/")[2]) }

// TestCountIsWhatLiesThere: whatever is done to the store, and wherever it is
// killed, what counts is what lies on the disk: parts that are brought again, out of
// order, beyond limits, broken off; uploads that are completed, completed again,
// aborted, abandoned; files that are brought again, replaced, gone on with, deleted.
func TestCountIsWhatLiesThere(t *testing.T) {
	w := openCounted(t)
	rapid.Check(t, func(t *rapid.T) {
		w.start()
		w.empty(t) // of what a failed run has left
		w.files = map[string][]*bringing{}
		w.keys = w.keys[:0]
		for range 3 {
			w.keys = append(w.keys, "/attachment/"+newID(w).String()+"/f")
		}
		content := func() string {
			return strings.Repeat(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "letter"), rapid.SampledFrom([]int{0, 1, 300, 499, 501, 1000, 1001}).Draw(t, "size"))
		}
		key := func() string { return rapid.SampledFrom(w.keys).Draw(t, "key") }
		upload := func() *uploading {
			if len(w.uploads) == 0 {
				t.Skip("no upload")
			}
			return rapid.SampledFrom(w.uploads).Draw(t, "upload")
		}
		end := func(u *uploading) {
			u.ended = true
			w.uploads = slices.DeleteFunc(w.uploads, func(o *uploading) bool { return o == u })
		}
		var ended []*uploading
		list := func(numbers []int, tags map[int]string) []byte {
			b := "<CompleteMultipartUpload>"
			for _, n := range numbers {
				b += fmt.Sprintf("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", n, strings.ReplaceAll(tags[n], `"`, "&#34;"))
			}
			return []byte(b + "</CompleteMultipartUpload>")
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				w.now = w.now.Add(time.Millisecond) // no two at once
				w.check(t)
			},
			"put": func(t *rapid.T) {
				k, c := key(), content()
				_, going := w.partial(k)
				want := w.refused(len(c), 0, going)
				if want == 0 {
					want = http.StatusOK
					w.bring(k, &bringing{content: c, whole: true})
				}
				w.say(t, want, "PUT", k, []byte(c))
			},
			"break off": func(t *rapid.T) {
				k, c := key(), content()
				_, going := w.partial(k)
				if w.refused(len(c), 0, going) != 0 || c == "" {
					return
				}
				u, err := w.s.bring(w.Context(), idOf(k), sender{"anonymous@127.0.0.1", newID(w).String()}, "f", 0)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := u.Write([]byte(c)); err != nil {
					t.Fatal(err)
				}
				w.bring(k, &bringing{content: c})
				if err := u.keep(w.Context()); err != nil {
					t.Fatal(err)
				}
			},
			"go on": func(t *rapid.T) {
				k := key()
				if len(w.files[k]) != 1 {
					return
				}
				f := w.files[k][0]
				_, going := w.partial(k)
				if w.refused(len(f.content)+1, 0, going) != 0 {
					return
				}
				if err := putBy(w, w.s, idOf(k), sender{"anonymous@127.0.0.1", newID(w).String()}, "f", []byte("!"), int64(len(f.content))); err != nil {
					t.Fatal(err)
				}
				w.bring(k, &bringing{content: f.content + "!", whole: true})
			},
			"change and delete": func(t *rapid.T) { // within one session
				k := key()
				by := sender{"anonymous@127.0.0.1", newID(w).String()}
				_, going := w.partial(k)
				// What broke off gives way to the first, and that to the second.
				if w.refused(7, 0, going) != 0 || w.refused(300, 0, going) != 0 {
					return
				}
				for _, c := range []string{"first,", strings.Repeat("c", 300)} {
					if err := putBy(w, w.s, idOf(k), by, "f", []byte(c), 0); err != nil {
						t.Fatal(err)
					}
				}
				w.bring(k, &bringing{content: strings.Repeat("c", 300), whole: true})
				w.check(t)
				if err := w.s.drop(w.Context(), idOf(k), by.session); err != nil {
					t.Fatal(err)
				}
				w.files[k] = slices.DeleteFunc(w.files[k], func(f *bringing) bool { return f.content == strings.Repeat("c", 300) })
			},
			"begin": func(t *rapid.T) {
				k := key()
				w.uploads = append(w.uploads, &uploading{id: w.begin(k), key: k, parts: map[int]string{}, tags: map[int]string{}})
			},
			"part": func(t *rapid.T) {
				u, n, c := upload(), rapid.IntRange(1, 3).Draw(t, "part"), content()
				path := fmt.Sprintf("%s?partNumber=%d&uploadId=%s", u.key, n, u.id)
				if want := w.refused(len(c), u.size()-len(u.parts[n]), len(u.parts[n])); want != 0 {
					w.say(t, want, "PUT", path, []byte(c))
					return
				}
				u.tags[n] = w.say(t, 200, "PUT", path, []byte(c))
				u.parts[n] = c
			},
			"a part that is not what was signed": func(t *rapid.T) {
				u, c := upload(), content()
				want := w.refused(len(c), u.size()-len(u.parts[1]), len(u.parts[1]))
				if want == 0 {
					want = http.StatusBadRequest
				}
				w.say(t, want, "PUT", fmt.Sprintf("%s?partNumber=1&uploadId=%s", u.key, u.id), []byte(c), "X-Amz-Content-Sha256", strings.Repeat("00", 32))
			},
			"complete": func(t *rapid.T) {
				u := upload()
				var numbers []int
				whole := ""
				for n := 1; n <= len(u.parts) && u.tags[n] != ""; n++ {
					numbers, whole = append(numbers, n), whole+u.parts[n]
				}
				if len(numbers) == 0 || len(numbers) != len(u.parts) {
					w.say(t, 400, "POST", u.key+"?uploadId="+u.id, list(numbers, u.tags))
					return
				}
				_, going := w.partial(u.key)
				if w.refused(len(whole), 0, u.size()+going) != 0 {
					w.say(t, http.StatusForbidden, "POST", u.key+"?uploadId="+u.id, list(numbers, u.tags))
					return
				}
				w.say(t, 200, "POST", u.key+"?uploadId="+u.id, list(numbers, u.tags))
				w.bring(u.key, &bringing{content: whole, whole: true, upload: u})
				end(u)
				ended = append(ended, u)
			},
			"complete what has ended": func(t *rapid.T) {
				if len(ended) == 0 {
					t.Skip("none has")
				}
				u := rapid.SampledFrom(ended).Draw(t, "upload")
				want := 404
				if slices.ContainsFunc(w.files[u.key], func(f *bringing) bool { return f.upload == u }) {
					want = 200
				}
				w.say(t, want, "POST", u.key+"?uploadId="+u.id, list([]int{1}, u.tags))
				w.say(t, 404, "PUT", fmt.Sprintf("%s?partNumber=1&uploadId=%s", u.key, u.id), []byte("late"))
			},
			"complete wrongly": func(t *rapid.T) {
				u := upload()
				for _, numbers := range [][]int{{2, 1}, {1, 1}, {1, 2, 3, 4}, {}} {
					w.say(t, 400, "POST", u.key+"?uploadId="+u.id, list(numbers, map[int]string{1: `"x"`}))
				}
			},
			"abort": func(t *rapid.T) {
				u := upload()
				w.say(t, 204, "DELETE", u.key+"?uploadId="+u.id, nil)
				end(u)
				ended = append(ended, u)
			},
			"delete": func(t *rapid.T) {
				k := key()
				want := http.StatusNoContent
				if len(w.files[k]) > 0 {
					want = http.StatusForbidden
				}
				w.say(t, want, "DELETE", k, nil)
			},
			"kill": func(t *rapid.T) {
				k, c := key(), content()
				_, going := w.partial(k)
				if w.refused(len(c), 0, going) != 0 {
					return
				}
				u, err := w.s.bring(w.Context(), idOf(k), sender{"anonymous@127.0.0.1", "killed"}, "f", 0)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := u.Write([]byte(c)); err != nil {
					t.Fatal(err)
				}
				u.file.Close()
				if rapid.Bool().Draw(t, "after the rename") {
					if err := os.Rename(u.file.Name(), filepath.Join(filepath.Dir(u.file.Name()), "blob"+newID(w).String())); err != nil {
						t.Fatal(err)
					}
				}
				w.left += int64(len(c))
				w.start()
			},
			"sweep": w.sweep,
			"abandon": func(t *rapid.T) {
				w.now = w.now.Add(partsAge + time.Minute)
				w.sweep(t)
				ended, w.uploads = append(ended, w.uploads...), nil
			},
		})
		w.empty(t)
	})
}

// Parts that come at the same time, some of them twice, each count once; of two that
// complete at once both are told that the file is there, and it is there once.
func TestPartsAtOnce(t *testing.T) {
	w := openCounted(t)
	w.start()
	w.files = map[string][]*bringing{}
	for range 10 {
		key := "/attachment/" + newID(t).String() + "/f"
		upload := w.begin(key)
		var all sync.WaitGroup
		var tags [4]string
		for i := range 8 {
			all.Go(func() {
				n := i % 4
				status, h, answer := w.c.do("PUT", fmt.Sprintf("%s?partNumber=%d&uploadId=%s", key, n+1, upload), []byte(strings.Repeat(fmt.Sprint(n), 10)), 0)
				if status != 200 {
					t.Errorf("part %d: %d %s", n+1, status, answer)
				}
				if i < 4 {
					tags[n] = h.Get("ETag")
				}
			})
		}
		all.Wait()
		if use, err := w.index.FileUse(t.Context(), "anonymous@127.0.0.1"); err != nil || use.Bytes != 40 || w.onDisk() != 40 {
			t.Fatalf("counted %d, on the disk %d, %v, want 40", use.Bytes, w.onDisk(), err)
		}
		body := "<CompleteMultipartUpload>"
		for n, tag := range tags {
			body += fmt.Sprintf("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", n+1, strings.ReplaceAll(tag, `"`, "&#34;"))
		}
		for range 3 {
			all.Go(func() {
				if status, _, answer := w.c.do("POST", key+"?uploadId="+upload, []byte(body+"</CompleteMultipartUpload>"), 0); status != 200 {
					t.Errorf("completed at once: %d %s", status, answer)
				}
			})
		}
		all.Wait()
		if use, err := w.index.FileUse(t.Context(), "anonymous@127.0.0.1"); err != nil || use.Bytes != 40 || use.OwnerFiles != 1 || w.onDisk() != 40 {
			t.Fatalf("counted %+v, on the disk %d, %v, want one file of 40", use, w.onDisk(), err)
		}
		w.now = w.now.Add(1001 * time.Hour)
		if _, err := w.s.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
