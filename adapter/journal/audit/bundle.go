package audit

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"mezhved/adapter/journal"
)

// BundleFormat is the first member of every manifest.
const BundleFormat = "mezhved-evidence/1"

// Limits of a bundle, so that a hostile one cannot fill a verifier's memory.
const (
	maxBundleFiles = 200_000
	maxBundleFile  = 64 << 20
	maxBundle      = 1 << 30
)

//go:embed recipe.txt
var recipe []byte

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
	files, total := map[string][]byte{"policy": b.Policy.Text()}, 0
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
		if err := x.put(files, leaf); err != nil {
			return fmt.Errorf("evidence: entry %d: %w", x.Index, err)
		}
		// Half of the limits, for proofs and reports come on top.
		total += len(leaf) + len(x.Envelope) + len(x.Certificate) + len(x.Revocation) + journal.MaxProof/8
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
	if files["export/opening.json"], err = json.Marshal(openings[i]); err != nil {
		return err
	}
	prover := journal.NewProver(ctx, c.Tree, b.Tiles)
	prove := func(index int64, leaf, proof string) error {
		hashes, err := prover.Inclusion(index)
		if err != nil {
			return fmt.Errorf("evidence: prove entry %d: %w", index, err)
		}
		files[proof] = journal.MarshalProof(index, hashes, c.Note)
		if _, ok := files[leaf]; !ok {
			files[leaf], err = entryAt(ctx, b.Tiles, index)
		}
		return err
	}
	if err := prove(index, "export/leaf.json", "export/leaf.tlog-proof"); err != nil {
		return err
	}
	for _, x := range exhibits {
		if err := prove(x.Index, leafName(x.Index), proofName(x.Index)); err != nil {
			return err
		}
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

func leafName(index int64) string        { return fmt.Sprintf("leaves/%d.json", index) }
func proofName(index int64) string       { return fmt.Sprintf("proofs/%d.tlog-proof", index) }
func openingName(index int64) string     { return fmt.Sprintf("openings/%d.json", index) }
func envelopeName(index int64) string    { return fmt.Sprintf("envelopes/%d.xml", index) }
func answerName(digest string) string    { return "revocation/" + digest + ".der" }
func judgementName(digest string) string { return "revocation/" + digest + ".txt" }
func reportName(language string) string {
	return "report." + language + ".html"
}

// put adds the exhibit's files and refuses what the leaf does not vouch for.
func (x *Exhibit) put(files map[string][]byte, leaf []byte) error {
	files[leafName(x.Index)] = leaf
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
	return nil
}

func writeZip(w io.Writer, files map[string][]byte) error {
	z := zip.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, err := z.Create(name)
		if err != nil {
			return err
		}
		if _, err := f.Write(files[name]); err != nil {
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
	Gaps       []Finding // entries of the shown messages that are not in the bundle
}

// EvidenceEntry is one verified entry with what it vouches for.
type EvidenceEntry struct {
	journal.Proven
	Openings    []journal.Opening
	Envelope    []byte
	Certificate []byte
	// Revocation are the answers, as far as the bundle has them, by which the
	// certificates of the call were judged, that about the caller's own first.
	Revocation [][]byte
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
	if !bytes.Equal(fixed["README.txt"], recipe) {
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
	for _, f := range z.File {
		if _, twice := files[f.Name]; twice {
			return nil, fmt.Errorf("bundle has two files named %q", f.Name)
		}
		in, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("bundle: %s: %w", f.Name, err)
		}
		content, err := io.ReadAll(io.LimitReader(in, maxBundleFile+1))
		in.Close()
		if err != nil {
			return nil, fmt.Errorf("bundle: %s: %w", f.Name, err)
		}
		if total += int64(len(content)); len(content) > maxBundleFile || total > maxBundle {
			return nil, fmt.Errorf("bundle: %s: too large", f.Name)
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
	if m.Format != BundleFormat {
		return nil, fmt.Errorf("bundle has format %q, this program knows %q", m.Format, BundleFormat)
	}
	e := &Evidence{Title: m.Title, Created: m.Created, Policy: policy}
	var err error
	if e.Export, err = journal.VerifyProof(policy, files["export/leaf.json"], files["export/leaf.tlog-proof"]); err != nil {
		return nil, fmt.Errorf("the entry that tells of the bundle's making: %w", err)
	}
	e.Checkpoint = e.Export.Checkpoint
	var o journal.Opening
	if err := strictJSON(files["export/opening.json"], &o); err != nil {
		return nil, fmt.Errorf("export/opening.json: %w", err)
	}
	// Nothing else vouches for this file's spelling.
	if again, err := json.Marshal(o); err != nil || !bytes.Equal(again, files["export/opening.json"]) {
		return nil, errors.New("export/opening.json is not in its only spelling")
	}
	if c, ok := e.Export.Leaf.Commit[journal.FieldDigest]; e.Export.Leaf.Kind != journal.KindEvidenceRead || !ok || o.Field != journal.FieldDigest || o.Class != journal.ClassEnvelope || c != o.Commitment() || o.Value != hexDigest(files["manifest.json"]) {
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
	leaves := 0
	for name := range files {
		if name == "manifest.json" || strings.HasPrefix(name, "export/") && strings.Count(name, "/") == 1 && exportFiles[name] {
			continue
		}
		if index, ok := strings.CutPrefix(name, "proofs/"); ok {
			if index, ok = strings.CutSuffix(index, ".tlog-proof"); ok && m.Files["leaves/"+index+".json"] != "" {
				continue
			}
		}
		if m.Files[name] == "" {
			return nil, fmt.Errorf("%s was added after the bundle was made", name)
		}
		if strings.HasPrefix(name, "leaves/") {
			leaves++
		}
	}
	if err := e.entries(files, leaves); err != nil {
		return nil, err
	}
	e.chains()
	return e, nil
}

var exportFiles = map[string]bool{"export/leaf.json": true, "export/leaf.tlog-proof": true, "export/opening.json": true}

// entries verifies each leaf and binds the other files to leaves.
func (e *Evidence) entries(files map[string][]byte, leaves int) error {
	used := map[string]bool{"policy": true, "manifest.json": true}
	for name := range exportFiles {
		used[name] = true
	}
	for name := range files {
		number, ok := strings.CutPrefix(name, "leaves/")
		if !ok {
			continue
		}
		index, err := strconv.ParseInt(strings.TrimSuffix(number, ".json"), 10, 64)
		if err != nil || leafName(index) != name {
			return fmt.Errorf("%s: not a name of this format", name)
		}
		p, err := journal.VerifyProof(e.Policy, files[name], files[proofName(index)])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if p.Index != index {
			return fmt.Errorf("%s is entry %d", name, p.Index)
		}
		x := EvidenceEntry{Proven: *p}
		if err := x.bind(files, used); err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
		e.Entries = append(e.Entries, x)
	}
	for name := range files {
		if !used[name] {
			return fmt.Errorf("no entry of the bundle vouches for %s", name)
		}
	}
	if len(e.Entries) != leaves {
		return errors.New("bundle lists leaves that are not entries")
	}
	slices.SortFunc(e.Entries, func(a, b EvidenceEntry) int { return int(a.Index - b.Index) })
	return nil
}

// bind takes the files that this entry vouches for.
func (x *EvidenceEntry) bind(files map[string][]byte, used map[string]bool) error {
	used[leafName(x.Index)], used[proofName(x.Index)] = true, true
	if list, ok := files[openingName(x.Index)]; ok {
		used[openingName(x.Index)] = true
		if err := strictJSON(list, &x.Openings); err != nil {
			return fmt.Errorf("openings: %w", err)
		}
	}
	digest := ""
	seen := map[string]bool{}
	for _, o := range x.Openings {
		if c, ok := x.Leaf.Commit[o.Field]; !ok || c != o.Commitment() || seen[o.Field] {
			return fmt.Errorf("field %q is not what the entry commits to", o.Field)
		}
		seen[o.Field] = true
		if o.Field == journal.FieldDigest {
			digest = o.Value
		}
	}
	if envelope, ok := files[envelopeName(x.Index)]; ok {
		used[envelopeName(x.Index)] = true
		if digest == "" || hexDigest(envelope) != digest {
			return errors.New("the envelope is not the one that the entry commits to")
		}
		x.Envelope = envelope
	}
	var err error
	if x.Certificate, err = named(files, used, "certificates/"+x.Leaf.Certificate+".der", x.Leaf.Certificate); err != nil {
		return err
	}
	return x.judged(files, used)
}

// judged takes the answers about revocation that this entry names, by itself or by
// a list.
func (x *EvidenceEntry) judged(files map[string][]byte, used map[string]bool) error {
	answers := []string{x.Leaf.Revocation}
	list, err := named(files, used, judgementName(x.Leaf.Revocation), x.Leaf.Revocation)
	if err != nil {
		return err
	}
	if list != nil {
		digests, err := journal.ParseJudgement(list)
		if err != nil {
			return fmt.Errorf("%s: %w", judgementName(x.Leaf.Revocation), err)
		}
		answers = answers[:0]
		for _, d := range digests {
			answers = append(answers, hex.EncodeToString(d[:]))
		}
	}
	for _, digest := range answers {
		answer, err := named(files, used, answerName(digest), digest)
		if err != nil {
			return err
		}
		if answer != nil {
			x.Revocation = append(x.Revocation, answer)
		}
	}
	return nil
}

// named takes a file whose name is the digest of what it holds; nil when there is
// none of that name.
func named(files map[string][]byte, used map[string]bool, name, digest string) ([]byte, error) {
	content, ok := files[name]
	if !ok || digest == "" {
		return nil, nil
	}
	if hexDigest(content) != digest {
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
