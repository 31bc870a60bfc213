package audit

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"mezhved/adapter/journal"
)

// BundleFormat is the first member of every manifest that is written. Bundles of
// BundleFormat1, with a proof for each entry, are still verified.
const (
	BundleFormat  = "mezhved-evidence/2"
	BundleFormat1 = "mezhved-evidence/1"
)

// Limits of a bundle, so that a hostile one cannot fill a verifier's memory: unpacked it
// is no larger than packed times maxPacking, and a little. What packs better is stored
// as it is (writeZip).
const (
	maxBundleFiles = 200_000
	maxBundleFile  = 64 << 20
	maxBundle      = 1 << 30
	maxPacking     = 32
	freePacking    = 64 << 20 // of bundles from before there were such bounds
)

// The recipes, and the reports, stand in bundles byte for byte: those of a format
// never change.
var (
	//go:embed recipe.txt
	recipe []byte
	//go:embed recipe-1.txt
	recipe1 []byte
)

// Exhibit is one entry for a bundle with what it vouches for. Everything but
// Index is optional; what is given must match the entry.
type Exhibit struct {
	Index       int64
	Leaf        []byte            // the entry's bytes, if at hand; else they are read
	Openings    []journal.Opening // of the commitments that may be disclosed
	Envelope    []byte            // as received; needs the opening of its digest
	Certificate []byte            // DER, as the entry names it
	Revocation  []byte            // what the entry names: the answer about revocation that decided, or the list of those that did
	Answers     [][]byte          // where Revocation is a list: those of its answers that are kept
	Poll        []byte            // envelopes of what proves a delivery or an acknowledgement; need the opening of the
	Answer      []byte            // entry's receipt (journal.Receipt)
	Ack         []byte
}

// Manifest lists what a bundle was made of. Its SHA-256 stands, committed to, in
// the evidence-read entry that making the bundle put into the log: so nothing can
// be taken out of a bundle or put in later.
type Manifest struct {
	Format  string            `json:"format"`
	Title   string            `json:"title"` // what was asked for
	Created time.Time         `json:"created"`
	Files   map[string]string `json:"files"` // name to hex SHA-256
}

// ErrBundleTooLarge says that more was asked for than a bundle may hold: ask for
// less at a time, or mirror the log.
var ErrBundleTooLarge = fmt.Errorf("more than a bundle holds: %d files, %d MB", maxBundleFiles, maxBundle>>20)

// Bundler makes evidence bundles.
type Bundler struct {
	Tiles  journal.TileSource
	Policy *journal.Policy
	Now    func() time.Time
	// Checkpoint gives the latest checkpoint.
	Checkpoint func(context.Context) (*journal.Checkpoint, error)
	// Stamped gives the first checkpoint with a time stamp that covers an entry, or the
	// latest for journal.NoEntry, or fs.ErrNotExist; nil: the log has none.
	Stamped func(ctx context.Context, entry int64) (*journal.Stamped, error)
	// Append puts an event into the journal, durable on return.
	Append func(context.Context, journal.Event) error
	// Find gives the first entry of a message id of ours and the openings of its
	// commitments; fs.ErrNotExist while it is not in the log.
	Find func(ctx context.Context, message string) (int64, []journal.Opening, error)
}

// Write makes a bundle of the exhibits and writes it to w as a zip. read is the
// entry that this reading leaves in the journal: its Message must be fresh, its
// Kind and Digest are set here. Write waits until that entry stands under a
// checkpoint that satisfies the policy; ctx bounds the wait, a second or two.
func (b *Bundler) Write(ctx context.Context, w io.Writer, title string, exhibits []Exhibit, read journal.Event) error {
	if _, _, err := b.Find(ctx, read.Message); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("evidence: the reading needs a fresh message id, %q is not (%v)", read.Message, err)
	}
	files, total := map[string][]byte{"policy": b.Policy.Text(), leavesFile: nil}, 0
	var indexes []int64
	exhibits = slices.SortedFunc(slices.Values(exhibits), func(a, b Exhibit) int { return int(a.Index - b.Index) })
	for i, x := range exhibits {
		if i > 0 && exhibits[i-1].Index == x.Index {
			return fmt.Errorf("evidence: entry %d is asked for twice", x.Index)
		}
		leaf := x.Leaf
		if leaf == nil {
			var err error
			if leaf, err = entryAt(ctx, b.Tiles, x.Index); err != nil {
				return fmt.Errorf("evidence: read entry %d: %w", x.Index, err)
			}
		}
		if err := x.put(files); err != nil {
			return fmt.Errorf("evidence: entry %d: %w", x.Index, err)
		}
		indexes = append(indexes, x.Index)
		files[leavesFile] = append(append(files[leavesFile], leaf...), '\n')
		// Half of the limits, for proofs and reports come on top.
		total += len(leaf) + len(x.Envelope) + len(x.Certificate) + len(x.Revocation) + len(x.Poll) + len(x.Answer) + len(x.Ack) + 4096 // what its part of the proof and of the reports may take
		for _, a := range x.Answers {
			total += len(a)
		}
		if total > maxBundle/2 || len(files)+i > maxBundleFiles/2 {
			return fmt.Errorf("evidence: %w", ErrBundleTooLarge)
		}
	}
	m := Manifest{Format: BundleFormat, Title: title, Created: b.Now().UTC().Truncate(time.Second), Files: map[string]string{}}
	for name, content := range files {
		m.Files[name] = hexDigest(content)
	}
	manifest, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}

	read.Kind, read.Digest = journal.KindEvidenceRead, hexDigest(manifest)
	if err := b.Append(ctx, read); err != nil {
		return fmt.Errorf("evidence: note in the journal that it is taken: %w", err)
	}
	index, openings, c, err := b.await(ctx, read.Message)
	if err != nil {
		return err
	}
	files["manifest.json"] = manifest
	i := slices.IndexFunc(openings, func(o journal.Opening) bool { return o.Field == journal.FieldDigest })
	if i < 0 {
		return fmt.Errorf("evidence: entry %d has no opening of its digest", index)
	}
	if files[exportOpening], err = json.Marshal(openings[i]); err != nil {
		return err
	}
	if files[exportLeaf], err = entryAt(ctx, b.Tiles, index); err != nil {
		return fmt.Errorf("evidence: read entry %d: %w", index, err)
	}
	indexes = append(indexes, index)
	hashes, err := journal.NewProver(ctx, c.Tree, b.Tiles).Batch(indexes)
	if err != nil {
		return fmt.Errorf("evidence: prove the entries: %w", err)
	}
	files[proofFile] = journal.MarshalBatch(indexes, hashes, c.Note)
	if err := b.stamp(ctx, files, indexes[:len(indexes)-1]); err != nil {
		return fmt.Errorf("evidence: the time stamp: %w", err)
	}
	// The bundle is checked as its reader will check it, before it leaves.
	evidence, err := check(files, b.Policy)
	if err != nil {
		return fmt.Errorf("evidence: the bundle that was made does not verify: %w", err)
	}
	files["README.txt"] = recipe
	for _, language := range Languages {
		if files[reportName(language)], err = evidence.Report(language); err != nil {
			return err
		}
	}
	return writeZip(w, files)
}

// stamp encloses the first time stamp that covers all entries, if there is one: the
// token, and the proof that they are in the log as it was stamped.
func (b *Bundler) stamp(ctx context.Context, files map[string][]byte, indexes []int64) error {
	if b.Stamped == nil || len(indexes) == 0 {
		return nil
	}
	stamped, c, err := b.firstStamp(ctx, indexes[len(indexes)-1])
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	hashes, err := journal.NewProver(ctx, c.Tree, b.Tiles).Batch(indexes)
	if err != nil {
		return err
	}
	files[stampProof], files[stampToken] = journal.MarshalBatch(indexes, hashes, c.Note), stamped.Token
	return nil
}

// firstStamp is the first time stamp that covers an entry and whose checkpoint suffices
// the policy, or fs.ErrNotExist. What was stamped before the log had a second key or a
// further witness does not suffice a policy that asks for it, and what came after does:
// so the first is found by halving.
func (b *Bundler) firstStamp(ctx context.Context, entry int64) (*journal.Stamped, *journal.Checkpoint, error) {
	open := func(entry int64) (*journal.Stamped, *journal.Checkpoint, error) {
		s, err := b.Stamped(ctx, entry)
		if err != nil {
			return nil, nil, err
		}
		c, err := b.Policy.Open(s.Checkpoint)
		return s, c, err
	}
	few := (*journal.QuorumError)(nil)
	stamped, c, err := open(entry)
	if !errors.As(err, &few) {
		return stamped, c, err
	}
	short := few.Size - 1 // an entry whose first stamp does not suffice
	if stamped, c, err = open(journal.NoEntry); errors.As(err, &few) {
		return nil, nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, nil, err
	}
	for long := c.Tree.N - 1; long-short > 1; { // long is one whose first stamp, that of c, does
		middle := short + (long-short)/2
		s, earlier, err := open(middle)
		switch {
		case errors.As(err, &few):
			short = min(few.Size, long) - 1
		case err != nil:
			return nil, nil, err
		default:
			stamped, c, long = s, earlier, middle
		}
	}
	return stamped, c, nil
}

// await waits until the entry of message stands under a sufficient checkpoint.
func (b *Bundler) await(ctx context.Context, message string) (int64, []journal.Opening, *journal.Checkpoint, error) {
	for {
		index, openings, err := b.Find(ctx, message)
		if err == nil {
			var c *journal.Checkpoint
			if c, err = b.Checkpoint(ctx); err == nil && c.Tree.N > index {
				if c, err = b.Policy.Open(c.Note); err == nil {
					return index, openings, c, nil
				}
			}
		}
		quorum := (*journal.QuorumError)(nil)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.As(err, &quorum) {
			return 0, nil, nil, fmt.Errorf("evidence: wait for the checkpoint: %w", err)
		}
		select {
		case <-ctx.Done():
			return 0, nil, nil, fmt.Errorf("evidence: the entry that tells of this reading is not under a sufficient checkpoint yet (%v): %w", err, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// entryAt reads one entry through its bundle.
func entryAt(ctx context.Context, tiles journal.TileSource, index int64) ([]byte, error) {
	at := int(index % journal.TileWidth)
	data, err := tiles.Tile(ctx, journal.EntriesLevel, index/journal.TileWidth, at+1)
	if err != nil {
		return nil, err
	}
	entries, err := journal.Entries(data)
	if err != nil {
		return nil, err
	}
	if len(entries) <= at {
		return nil, fs.ErrNotExist
	}
	return entries[at], nil
}

func hexDigest(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func openingName(index int64) string     { return fmt.Sprintf("openings/%d.json", index) }
func envelopeName(index int64) string    { return fmt.Sprintf("envelopes/%d.xml", index) }
func answerName(digest string) string    { return "revocation/" + digest + ".der" }
func judgementName(digest string) string { return "revocation/" + digest + ".txt" }

// Files of a bundle that are there once. The leaves stand in a file of their own,
// one in a line, in the order in which the proof names them.
const (
	leavesFile    = "leaves.jsonl"
	proofFile     = "proof"
	exportLeaf    = "export/leaf.json"
	exportProof   = "export/leaf.tlog-proof" // of BundleFormat1
	exportOpening = "export/opening.json"
	stampProof    = "timestamp/proof" // that the entries are under the checkpoint that was stamped
	stampToken    = "timestamp/token.der"
)

// receiptName is where a poll, an answer or an Ack stands.
func receiptName(index int64, what string) string {
	return fmt.Sprintf("receipts/%d.%s.xml", index, what)
}

func reportName(language string) string {
	return "report." + language + ".html"
}

// put adds the exhibit's files.
func (x *Exhibit) put(files map[string][]byte) error {
	if len(x.Openings) > 0 {
		list, err := json.Marshal(x.Openings)
		if err != nil {
			return err
		}
		files[openingName(x.Index)] = list
	}
	if x.Envelope != nil {
		files[envelopeName(x.Index)] = x.Envelope
	}
	if x.Certificate != nil {
		files["certificates/"+hexDigest(x.Certificate)+".der"] = x.Certificate
	}
	if x.Revocation != nil {
		name := answerName(hexDigest(x.Revocation))
		if _, err := journal.ParseJudgement(x.Revocation); err == nil {
			name = judgementName(hexDigest(x.Revocation))
		}
		files[name] = x.Revocation
	}
	for _, a := range x.Answers {
		files[answerName(hexDigest(a))] = a
	}
	for what, envelope := range map[string][]byte{"poll": x.Poll, "answer": x.Answer, "ack": x.Ack} {
		if envelope != nil {
			files[receiptName(x.Index, what)] = envelope
		}
	}
	return nil
}

func writeZip(w io.Writer, files map[string][]byte) error {
	z := zip.NewWriter(w)
	var packed bytes.Buffer
	pack, err := flate.NewWriter(&packed, flate.DefaultCompression)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		content := files[name]
		packed.Reset()
		pack.Reset(&packed)
		if _, err := pack.Write(content); err != nil {
			return err
		}
		if err := pack.Close(); err != nil {
			return err
		}
		h, b := &zip.FileHeader{Name: name, Method: zip.Deflate, CRC32: crc32.ChecksumIEEE(content), UncompressedSize64: uint64(len(content))}, packed.Bytes()
		if len(content) > maxPacking*len(b) || len(content) < len(b) {
			h.Method, b = zip.Store, content
		}
		h.CompressedSize64 = uint64(len(b))
		f, err := z.CreateRaw(h)
		if err != nil {
			return err
		}
		if _, err := f.Write(b); err != nil {
			return err
		}
	}
	return z.Close()
}

// Evidence is a bundle that was verified: everything in it is vouched for by the
// signers of the policy.
type Evidence struct {
	Title      string
	Created    time.Time
	Pinned     bool // the policy came from the verifier, not from the bundle
	Policy     *journal.Policy
	Checkpoint *journal.Checkpoint // the one that the bundle's export stands under
	Export     *journal.Proven     // the entry that tells of the bundle's making
	Entries    []EvidenceEntry
	Stamp      *Stamp               // a time stamp over all entries but the export; nil: none is enclosed that counts
	Unstamped  *journal.QuorumError // why one that is enclosed does not count under the policy; nil: it does, or there is none
	Gaps       []Finding            // entries of the shown messages that are not in the bundle

	recipe []byte // that belongs to the format
	leaves [][]byte
	proof  []byte           // nil in a bundle of BundleFormat1
	single map[int64][]byte // proofs of a bundle of BundleFormat1
}

// Proofs gives a proof of each entry, the export's among them, by its index, as
// https://c2sp.org/tlog-proof has it and other people's programs read it.
func (e *Evidence) Proofs() (iter.Seq2[int64, []byte], error) {
	if e.proof == nil {
		return maps.All(e.single), nil
	}
	return journal.SplitBatch(e.Policy, e.leaves, e.proof)
}

// EvidenceEntry is one verified entry with what it vouches for.
type EvidenceEntry struct {
	journal.Proven
	Openings    []journal.Opening
	Envelope    []byte
	Certificate []byte
	// Revocation are the answers, as far as the bundle has them, by which the
	// certificates of the call were judged, that about the caller's own first. Entries that
	// name the same share them.
	Revocation [][]byte
	// Receipt is what the entry commits to as proof of a delivery or of an
	// acknowledgement, when that is disclosed; Poll, Answer and Ack are its envelopes,
	// as far as the bundle has them.
	Receipt           *journal.Receipt
	Poll, Answer, Ack []byte
}

// VerifyBundle verifies a bundle of the given size. policy is the auditor's own;
// nil takes the bundle's, which proves only that the bundle agrees with itself:
// Evidence.Pinned tells. The first thing that does not hold is the error.
func VerifyBundle(r io.ReaderAt, size int64, policy *journal.Policy) (*Evidence, error) {
	files, err := readZip(r, size)
	if err != nil {
		return nil, err
	}
	pinned := policy != nil
	if !pinned {
		if policy, err = journal.ParsePolicy(files["policy"]); err != nil {
			return nil, fmt.Errorf("the bundle's own policy: %w", err)
		}
	}
	fixed := map[string][]byte{"README.txt": files["README.txt"]}
	for _, language := range Languages {
		fixed[reportName(language)] = files[reportName(language)]
	}
	for name := range fixed {
		delete(files, name)
	}
	e, err := check(files, policy)
	if err != nil {
		return nil, err
	}
	e.Pinned = pinned
	if !bytes.Equal(fixed["README.txt"], e.recipe) {
		return nil, errors.New("README.txt is not the one of this format")
	}
	for _, language := range Languages {
		want, err := e.Report(language)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(fixed[reportName(language)], want) {
			return nil, fmt.Errorf("%s does not say what the verified entries say", reportName(language))
		}
	}
	return e, nil
}

func readZip(r io.ReaderAt, size int64) (map[string][]byte, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("bundle is not a readable zip: %w", err)
	}
	if len(z.File) > maxBundleFiles {
		return nil, fmt.Errorf("bundle has %d files, at most %d are allowed", len(z.File), maxBundleFiles)
	}
	files, total := map[string][]byte{}, int64(0)
	most := min(maxBundle, freePacking+maxPacking*size)
	for _, f := range z.File {
		if _, twice := files[f.Name]; twice {
			return nil, fmt.Errorf("bundle has two files named %q", f.Name)
		}
		in, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("bundle: %s: %w", f.Name, err)
		}
		room := min(maxBundleFile, most-total)
		content, err := io.ReadAll(io.LimitReader(in, room+1))
		in.Close()
		if err != nil {
			return nil, fmt.Errorf("bundle: %s: %w", f.Name, err)
		}
		if total += int64(len(content)); int64(len(content)) > room {
			return nil, fmt.Errorf("bundle: %s: too large: a file may have %d MB, and all of them together %d times the bundle and %d MB more, %d MB at most",
				f.Name, maxBundleFile>>20, maxPacking, freePacking>>20, maxBundle>>20)
		}
		files[f.Name] = content
	}
	return files, nil
}

// check verifies everything in files but README and reports.
func check(files map[string][]byte, policy *journal.Policy) (*Evidence, error) {
	var m Manifest
	if err := strictJSON(files["manifest.json"], &m); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	e := &Evidence{Title: m.Title, Created: m.Created, Policy: policy}
	prove := e.proveAtOnce
	switch m.Format {
	case BundleFormat:
		e.recipe = recipe
	case BundleFormat1:
		e.recipe, prove = recipe1, e.proveEach
	default:
		return nil, fmt.Errorf("bundle has format %q, this program knows %q and %q: use a newer one", m.Format, BundleFormat1, BundleFormat)
	}
	// late are the files that were made after the manifest, which does not list them:
	// what they say is held against the log. The others must be listed, and used.
	late := map[string]bool{"manifest.json": true, exportLeaf: true, exportOpening: true}
	used := map[string]bool{}
	proven, err := prove(files, late, used)
	if err != nil {
		return nil, err
	}
	e.Checkpoint = e.Export.Checkpoint
	var o journal.Opening
	if err := strictJSON(files[exportOpening], &o); err != nil {
		return nil, fmt.Errorf("%s: %w", exportOpening, err)
	}
	// Nothing else vouches for this file's spelling.
	if again, err := json.Marshal(o); err != nil || !bytes.Equal(again, files[exportOpening]) {
		return nil, errors.New("export/opening.json is not in its only spelling")
	}
	if c, ok := e.Export.Leaf.Committed(journal.FieldDigest); e.Export.Leaf.Kind != journal.KindEvidenceRead || !ok || o.Field != journal.FieldDigest || o.Class != journal.ClassEnvelope || c != o.Commitment() || o.Value != hexDigest(files["manifest.json"]) {
		return nil, errors.New("the entry that tells of the bundle's making is not about this manifest: the bundle was changed after it was made")
	}
	for name, digest := range m.Files {
		content, ok := files[name]
		if !ok {
			return nil, fmt.Errorf("%s is missing from the bundle", name)
		}
		if hexDigest(content) != digest {
			return nil, fmt.Errorf("%s was changed after the bundle was made", name)
		}
	}
	for name := range files {
		if m.Files[name] == "" && !late[name] {
			return nil, fmt.Errorf("%s was added after the bundle was made", name)
		}
	}
	maps.Copy(used, late)
	if err := e.entries(proven, files, used); err != nil {
		return nil, err
	}
	e.chains()
	return e, nil
}

// proveAtOnce proves the export and all entries by the one proof of the bundle.
func (e *Evidence) proveAtOnce(files map[string][]byte, late, used map[string]bool) ([]journal.Proven, error) {
	text, lines := files[leavesFile], [][]byte{}
	for line := range bytes.Lines(text) {
		leaf, ok := bytes.CutSuffix(line, []byte("\n"))
		if !ok {
			return nil, fmt.Errorf("%s does not end in a line feed", leavesFile)
		}
		lines = append(lines, leaf)
	}
	e.leaves, e.proof = append(lines[:len(lines):len(lines)], files[exportLeaf]), files[proofFile]
	proven, err := journal.VerifyBatch(e.Policy, e.leaves, e.proof)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", proofFile, err)
	}
	late[proofFile], used[leavesFile] = true, true
	last := len(proven) - 1
	if proof, ok := files[stampProof]; ok {
		stamped, err := journal.VerifyBatch(e.Policy, lines, proof)
		if err != nil && !errors.As(err, &e.Unstamped) {
			return nil, fmt.Errorf("%s: %w", stampProof, err)
		}
		for i, p := range stamped {
			if p.Index != proven[i].Index {
				return nil, fmt.Errorf("%s is of other entries", stampProof)
			}
		}
		if err == nil {
			e.Stamp = &Stamp{stamped[0].Checkpoint, files[stampToken]}
		}
		late[stampProof], late[stampToken] = true, true
	}
	e.Export = &proven[last] // it was made when all others were there
	return proven[:last], nil
}

// proveEach proves the export and each entry by proofs of their own.
func (e *Evidence) proveEach(files map[string][]byte, late, used map[string]bool) (proven []journal.Proven, err error) {
	if e.Export, err = journal.VerifyProof(e.Policy, files[exportLeaf], files[exportProof]); err != nil {
		return nil, fmt.Errorf("the entry that tells of the bundle's making: %w", err)
	}
	late[exportProof] = true
	e.single = map[int64][]byte{e.Export.Index: files[exportProof]}
	for name := range files {
		number, ok := strings.CutPrefix(name, "leaves/")
		if !ok {
			continue
		}
		index, err := strconv.ParseInt(strings.TrimSuffix(number, ".json"), 10, 64)
		if err != nil || fmt.Sprintf("leaves/%d.json", index) != name {
			return nil, fmt.Errorf("%s: not a name of this format", name)
		}
		proof := fmt.Sprintf("proofs/%d.tlog-proof", index)
		p, err := journal.VerifyProof(e.Policy, files[name], files[proof])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if p.Index != index {
			return nil, fmt.Errorf("%s is entry %d", name, p.Index)
		}
		e.single[index] = files[proof]
		late[proof], used[name] = true, true
		proven = append(proven, *p)
	}
	slices.SortFunc(proven, func(a, b journal.Proven) int { return int(a.Index - b.Index) })
	return proven, nil
}

// entries binds the other files to the entries that vouch for them.
func (e *Evidence) entries(proven []journal.Proven, files map[string][]byte, used map[string]bool) error {
	used["policy"] = true
	judged := map[string][][]byte{}
	for _, p := range proven {
		x := EvidenceEntry{Proven: p}
		if err := x.bind(files, used, judged); err != nil {
			return fmt.Errorf("entry %d: %w", p.Index, err)
		}
		e.Entries = append(e.Entries, x)
	}
	for name := range files {
		if !used[name] {
			return fmt.Errorf("no entry of the bundle vouches for %s", name)
		}
	}
	return nil
}

// bind takes the files that this entry vouches for. judged are the answers about revocation
// by what entries name, which many entries may name alike.
func (x *EvidenceEntry) bind(files map[string][]byte, used map[string]bool, judged map[string][][]byte) error {
	if list, ok := files[openingName(x.Index)]; ok {
		used[openingName(x.Index)] = true
		if err := strictJSON(list, &x.Openings); err != nil {
			return fmt.Errorf("openings: %w", err)
		}
	}
	digest := ""
	seen := map[string]bool{}
	for _, o := range x.Openings {
		if c, ok := x.Leaf.Committed(o.Field); !ok || c != o.Commitment() || seen[o.Field] {
			return fmt.Errorf("field %q is not what the entry commits to", o.Field)
		}
		seen[o.Field] = true
		switch o.Field {
		case journal.FieldDigest:
			digest = o.Value
		case journal.FieldReceipt:
			r, err := journal.ParseReceipt(o.Value)
			if err != nil {
				return err
			}
			x.Receipt = &r
		}
	}
	if envelope, ok := files[envelopeName(x.Index)]; ok {
		used[envelopeName(x.Index)] = true
		if digest == "" || hexDigest(envelope) != digest {
			return errors.New("the envelope is not the one that the entry commits to")
		}
		x.Envelope = envelope
	}
	if err := x.receipts(files, used); err != nil {
		return err
	}
	var err error
	if x.Certificate, err = named(files, used, "certificates/"+x.Leaf.Certificate+".der", x.Leaf.Certificate); err != nil {
		return err
	}
	answers, there := judged[x.Leaf.Revocation]
	if !there {
		if answers, err = revocation(x.Leaf.Revocation, files, used); err != nil {
			return err
		}
		judged[x.Leaf.Revocation] = answers
	}
	x.Revocation = answers
	return nil
}

// receipts takes the envelopes that the entry's receipt vouches for.
func (x *EvidenceEntry) receipts(files map[string][]byte, used map[string]bool) error {
	r := journal.Receipt{}
	if x.Receipt != nil {
		r = *x.Receipt
	}
	for _, one := range []struct {
		what, digest string
		into         *[]byte
	}{{"poll", r.Poll, &x.Poll}, {"answer", r.Answer, &x.Answer}, {"ack", r.Ack, &x.Ack}} {
		name := receiptName(x.Index, one.what)
		envelope, ok := files[name]
		if !ok {
			continue
		}
		if one.digest == "" || hexDigest(envelope) != one.digest {
			return fmt.Errorf("%s is not the one that the entry commits to", name)
		}
		used[name], *one.into = true, envelope
	}
	return nil
}

// revocation takes the answers about revocation that an entry names, by itself or by
// a list.
func revocation(name string, files map[string][]byte, used map[string]bool) (found [][]byte, err error) {
	answers := []string{name}
	list, err := named(files, used, judgementName(name), name)
	if err != nil {
		return nil, err
	}
	if list != nil {
		digests, err := journal.ParseJudgement(list)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", judgementName(name), err)
		}
		answers = answers[:0]
		for _, d := range digests {
			answers = append(answers, hex.EncodeToString(d[:]))
		}
	}
	for _, digest := range answers {
		answer, err := named(files, used, answerName(digest), digest)
		if err != nil {
			return nil, err
		}
		if answer != nil {
			found = append(found, answer)
		}
	}
	return found, nil
}

// named takes a file whose name is the digest of what it holds; nil when there is
// none of that name. One that was taken before is not hashed again: every entry may name it.
func named(files map[string][]byte, used map[string]bool, name, digest string) ([]byte, error) {
	content, ok := files[name]
	if !ok || digest == "" {
		return nil, nil
	}
	if !used[name] && hexDigest(content) != digest {
		return nil, fmt.Errorf("%s is not what its name says", name)
	}
	used[name] = true
	return content, nil
}

// chains notes where the shown messages have entries that are not shown.
func (e *Evidence) chains() {
	have := map[int64]bool{}
	for _, x := range e.Entries {
		have[x.Index] = true
	}
	for _, x := range e.Entries {
		if x.Leaf.Prev != journal.NoEntry && !have[x.Leaf.Prev] {
			e.Gaps = append(e.Gaps, Finding{x.Leaf.Prev, fmt.Sprintf("an earlier entry of message %s, not in this bundle", x.Leaf.Message)})
		}
	}
}

// strictJSON refuses unknown members and anything after the value.
func strictJSON(b []byte, into any) error {
	if len(b) == 0 {
		return errors.New("missing")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the value")
	}
	return nil
}
