package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"testing"
	"time"

	"mezhved/adapter/party"
	"mezhved/envelopes"
)

// TestALargeFileIsNotHeldInMemory brings a file into the store, sends it with a
// request and fetches it where the request was polled. What the gateway's process
// takes for it at most, beside what it has at rest, does not grow with the file.
// MEZHVED_LARGE is the file's size in bytes (default 128 MiB); the largest that the
// limits let through is a gibibyte:
//
//	MEZHVED_LARGE=1073741824 go test -run ALargeFile -v ./cmd/mezhved
func TestALargeFileIsNotHeldInMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("moves a large file")
	}
	t.Parallel()
	size := int64(128 << 20)
	if told := os.Getenv("MEZHVED_LARGE"); told != "" {
		var err error
		if size, err = strconv.ParseInt(told, 10, 64); err != nil {
			t.Fatalf("MEZHVED_LARGE: %v", err)
		}
	}
	const most = 64 // MB
	ftp := freeAddress(t)
	w := serveMeasured(t, func(config string) { replaceIn(t, config, "listen: 127.0.0.1:0 ", "listen: "+ftp+" ") })
	ctx := t.Context()
	town, registry := w.play.client("PRIMERSK", envelopes.V12), w.play.client("ROSREESTR", envelopes.V12)
	store := &party.FileStore{URL: "ftp://" + ftp, Attempts: 3, Pause: time.Second}

	// exchange carries a file of so many bytes from the one to the other.
	exchange := func(size int64) {
		t.Helper()
		ref, err := store.Bring(ctx, "план.bin", "application/octet-stream", func() (io.ReadCloser, error) {
			return io.NopCloser(io.LimitReader(counted{}, size)), nil
		})
		if err != nil {
			t.Fatalf("bring %d bytes: %v\n%s", size, err, w.out)
		}
		receipt, err := town.SendRequest(ctx, party.Request{Content: sample("egrn-extract", "1.1.0", "request"), References: []envelopes.AttachmentReference{ref}})
		if err != nil {
			t.Fatal(err)
		}
		var m *party.Message
		for end := time.Now().Add(patience); m == nil; {
			if m, err = registry.PollRequest(ctx, party.Selector{Wait: time.Second}); err != nil {
				t.Fatal(err)
			}
			if time.Now().After(end) {
				t.Fatal("the request does not come")
			}
		}
		var got bytesTold
		if err := store.Fetch(ctx, m.Files[0], m.Hash(m.Files[0]), &got); err != nil {
			t.Fatal(err)
		}
		if int64(got) != size {
			t.Errorf("fetched %d bytes of %d", got, size)
		}
		if err := registry.Ack(ctx, receipt.MessageID, true); err != nil {
			t.Fatal(err)
		}
	}
	exchange(1 << 10) // what a first exchange needs is no matter of size
	rest := w.memoryOf(t, "VmRSS")
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", w.pid), []byte("5"), 0); err != nil {
		t.Skipf("the largest memory of a process cannot be set back here: %v", err)
	}
	exchange(size)
	top := w.memoryOf(t, "VmHWM")
	t.Logf("%d MiB both ways: %d MB at rest, %d MB at most", size>>20, rest, top)
	if top > rest+most {
		t.Errorf("a file of %d MiB takes %d MB of memory, %d are the bound", size>>20, top-rest, most)
	}
}

// counted reads as bytes that do not repeat soon, without end.
type counted struct{}

func (counted) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i ^ i>>8)
	}
	return len(p), nil
}

// bytesTold counts what is written to it.
type bytesTold int64

func (n *bytesTold) Write(p []byte) (int, error) {
	*n += bytesTold(len(p))
	return len(p), nil
}
