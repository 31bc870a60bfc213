package outside

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"

	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/journal/remote"
)

// served is a log on HTTP, as the gateway serves it.
type served struct {
	*journaltest.Desk
	book *journaltest.Book
	url  *url.URL
	key  note.Verifier
}

func serve(t *testing.T, entries int) *served {
	t.Helper()
	d := journaltest.NewDesk(t)
	s := &served{Desk: d, book: d.Filled(1, entries)}
	h := &remote.Server{Log: s.book, Admit: remote.Bearer("auditor"), Slog: slog.New(slog.DiscardHandler)}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	var err error
	if s.url, err = url.Parse(server.URL + "/"); err != nil {
		t.Fatal(err)
	}
	if s.key, err = note.NewVerifier(d.Signer.Key()); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *served) fetcher(t *testing.T) *client.HTTPFetcher {
	t.Helper()
	f, err := client.NewHTTPFetcher(s.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.SetAuthorizationHeader("Bearer auditor")
	return f
}

// bundleHasher hashes entries as RFC 6962 does, from Tessera's own reading of a
// bundle.
func bundleHasher(bundle []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	var out [][]byte
	for _, e := range b.Entries {
		out = append(out, rfc6962.DefaultHasher.HashLeaf(e))
	}
	return out, nil
}

func TestTesseraFsckAcceptsOurLog(t *testing.T) {
	for _, entries := range []int{1, 255, 256, 257, 3000, 70_000} {
		s := serve(t, entries)
		if err := fsck.New(journaltest.Origin, s.key, s.fetcher(t), bundleHasher, fsck.Opts{N: 4}).Check(context.Background()); err != nil {
			t.Errorf("%d entries: %v", entries, err)
		}
	}
}

func TestTesseraClientProvesOurEntries(t *testing.T) {
	ctx := context.Background()
	s := serve(t, 3000)
	f := s.fetcher(t)
	cp, _, _, err := client.FetchCheckpoint(ctx, f.ReadCheckpoint, s.key, journaltest.Origin)
	if err != nil {
		t.Fatal(err)
	}
	pb, err := client.NewProofBuilder(ctx, cp.Size, f.ReadTile)
	if err != nil {
		t.Fatal(err)
	}
	for _, index := range []uint64{0, 1, 255, 256, 1777, 2999} {
		p, err := pb.InclusionProof(ctx, index)
		if err != nil {
			t.Fatal(err)
		}
		bundle, err := client.GetEntryBundle(ctx, f.ReadEntryBundle, index/256, cp.Size)
		if err != nil {
			t.Fatal(err)
		}
		leaf := bundle.Entries[index%256]
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, cp.Size, rfc6962.DefaultHasher.HashLeaf(leaf), p, cp.Hash); err != nil {
			t.Errorf("entry %d: %v", index, err)
		}
	}
}

// The tracker follows a growing log and would notice one that does not only grow.
func TestTesseraTracksOurLogAsItGrows(t *testing.T) {
	ctx := context.Background()
	s := serve(t, 400)
	f := s.fetcher(t)
	tracker, err := client.NewLogStateTracker(ctx, f.ReadTile, nil, s.key, journaltest.Origin, client.UnilateralConsensus(f.ReadCheckpoint))
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(4) {
		if err := s.book.Add(journaltest.Events(10+i, 333)...); err != nil {
			t.Fatal(err)
		}
		s.Clock.Move(time.Minute)
		if err := s.Settle(s.Sequencer(s.book)); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := tracker.Update(ctx); err != nil {
			t.Fatal(err)
		}
		if got, want := tracker.Latest().Size, uint64(s.Checkpoint(s.book).Tree.N); got != want {
			t.Errorf("tracked %d entries, want %d", got, want)
		}
	}
}
