package party_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/party"
	"mezhved/adapter/yamlfile"
	"mezhved/envelopes"
)

// Attachments of more than 5 MB go over the file store, smaller ones inside the
// message, and come out the same.
func TestLargeAttachments(t *testing.T) {
	w := adaptertest.Start(t, adaptertest.WithFiles())
	store := &party.FileStore{URL: "ftp://" + w.FTPAddress}
	for _, v := range envelopes.Versions {
		client := func(mnemonic string) *party.Client {
			return &party.Client{URL: w.URL + "/ws", Version: v, Signer: w.Party(mnemonic).Signer, Clock: w.Clock.Now, Store: store}
		}
		muni, registry := client("MUNI"), client("REGISTRY")
		plan, note := bytes.Repeat([]byte("план"), 700_000), []byte("записка")
		for _, size := range []int{10, len(plan)} {
			receipt, err := muni.SendRequest(t.Context(), party.Request{Content: []byte(adaptertest.Content(adaptertest.Extract1)), Attachments: []party.Attachment{
				{Name: "план.zip", MimeType: "application/zip", Source: party.Bytes(plan[:size]), Size: int64(size)}, {Name: "записка.txt", Content: note},
			}})
			if err != nil {
				t.Fatalf("%s: %v", v, err)
			}
			m, err := registry.PollRequest(t.Context(), party.Selector{Wait: 20 * time.Second})
			if err != nil || m == nil {
				t.Fatalf("%s: %v, %v", v, m, err)
			}
			if inside, stored := len(m.Attachments), len(m.Files); size == 10 && (inside != 2 || stored != 0) || size != 10 && (inside != 0 || stored != 2) {
				t.Fatalf("%s: of %d bytes %d files are inside and %d in the store", v, size, inside, stored)
			}
			for i, f := range m.Files {
				var got bytes.Buffer
				if err := store.Fetch(t.Context(), f, m.Hash(f), &got); err != nil {
					t.Fatalf("%s: %v", v, err)
				}
				if want := [][]byte{plan, note}[i]; !bytes.Equal(got.Bytes(), want) {
					t.Errorf("%s: %s has %d bytes, want %d", v, f.FileName, got.Len(), len(want))
				}
				if err := store.Fetch(t.Context(), f, []byte("another digest"), io.Discard); !errors.Is(err, party.ErrDigest) {
					t.Errorf("%s: against another digest: %v", v, err)
				}
				f.Password = "x"
				if err := store.Fetch(t.Context(), f, m.Hash(f), io.Discard); err == nil || !strings.Contains(err.Error(), "530") {
					t.Errorf("%s: with a wrong password: %v", v, err)
				}
			}
			if err := registry.Ack(t.Context(), receipt.MessageID, true); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.Check()
}

// A store that never comes to the end of an answer does not fill its caller's memory.
func TestAFileStoreThatTalksWithoutEnd(t *testing.T) {
	for _, line := range []string{"220-welcome\r\n", "220 welcome "} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		said := make(chan int, 1)
		go func() {
			conn, err := l.Accept()
			if err != nil {
				said <- 0
				return
			}
			defer conn.Close()
			words, n := bytes.Repeat([]byte(line), 1000), 0
			for n < 128<<20 {
				more, err := conn.Write(words)
				if n += more; err != nil {
					break
				}
			}
			said <- n
		}()
		store := &party.FileStore{URL: "ftp://" + l.Addr().String(), Attempts: 1}
		if err := store.Fetch(t.Context(), envelopes.FSAttachment{FileName: "a"}, nil, io.Discard); err == nil || !strings.Contains(err.Error(), "no end") {
			t.Errorf("%q: %v", line, err)
		}
		l.Close()
		if n := <-said; n > 64<<20 { // what the system keeps of it included
			t.Errorf("%q: %d MB were listened to", line, n>>20)
		}
	}
}

// The connection breaks in the middle, both ways: the client goes on.
func TestBrokenTransfers(t *testing.T) {
	w := adaptertest.Start(t, adaptertest.WithFiles(func(c *adapter.Config) { c.FTP.Stall = yamlfile.Period(2 * time.Second) }))
	store := &party.FileStore{URL: "ftp://" + w.FTPAddress, Pause: 10 * time.Millisecond}
	content := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	opened := 0
	// The source breaks in the middle of the first try.
	src := func() (io.ReadCloser, error) {
		if opened++; opened == 2 { // the first opening is for the digest
			return io.NopCloser(io.MultiReader(bytes.NewReader(content[:1_000_000]), failing{})), nil
		}
		return io.NopCloser(bytes.NewReader(content)), nil
	}
	ref, err := store.Bring(t.Context(), "a.bin", "", src)
	if err != nil || opened != 3 {
		t.Fatalf("brought after %d openings: %v", opened, err)
	}
	sent := w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), Stored: []envelopes.AttachmentReference{ref}})
	if sent.Fault != nil {
		t.Fatal(sent.Fault)
	}
	f := w.Party("REGISTRY").Await(envelopes.GetRequest, "").Message.Files[0]
	// The sink breaks in the middle of the first try; what it took stays taken.
	sink := &breaking{at: 1_500_000}
	if err := store.Fetch(t.Context(), f, ref.Hash, sink); err != nil || !bytes.Equal(sink.Bytes(), content) {
		t.Errorf("fetched %d bytes, %v", sink.Len(), err)
	}
	if err := (&party.FileStore{URL: "http://x"}).Fetch(t.Context(), f, nil, io.Discard); err == nil {
		t.Error("an address of another kind was taken")
	}
	w.Check()
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("broken by the test") }

// breaking fails once.
type breaking struct {
	bytes.Buffer
	at int
}

func (b *breaking) Write(p []byte) (int, error) {
	if b.at > 0 && b.Len()+len(p) > b.at {
		b.at = 0
		return 0, errors.New("broken by the test")
	}
	return b.Buffer.Write(p)
}
