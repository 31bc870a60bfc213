package journal

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Policy says whose signatures are enough: the log's key, and which of which
// witnesses. It is what an auditor must get from somebody other than the log.
type Policy struct {
	log       note.Verifier
	time      note.Verifier // the same key, for its timestamped cosignature
	witnesses []Witness
	quorum    *quorum   // nil: the log's signature is enough
	succeeds  []*Policy // of the keys that the log had before
	text      []byte
}

// Witness is a party that cosigns checkpoints when it has seen that the log has
// only grown.
type Witness struct {
	Name string
	URL  string // where it takes checkpoints (https://c2sp.org/tlog-witness); may be empty for a policy that only verifies
	Key  note.Verifier

	public []byte
}

// quorum is a witness, or a group of which at least need must be satisfied.
type quorum struct {
	witness *Witness
	need    int
	of      []*quorum
}

// satisfied asks each group once, whatever the groups are members of: asked is what it said.
// A bundle brings its own policy, and groups of groups have twice as many ways down with
// every line.
func (q *quorum) satisfied(signed map[uint32]string, asked map[*quorum]bool) bool {
	if q.witness != nil {
		return signed[q.witness.Key.KeyHash()] == q.witness.Key.Name()
	}
	if said, ok := asked[q]; ok {
		return said
	}
	have := 0
	for _, member := range q.of {
		if member.satisfied(signed, asked) {
			have++
		}
	}
	asked[q] = have >= q.need
	return asked[q]
}

// MaxPolicy bounds a policy, in bytes: as many witnesses as a note may have signatures, a
// hundred, take less with the longest keys.
const MaxPolicy = 256 << 10

// ParsePolicy reads a policy in the format of https://c2sp.org/tlog-policy:
//
//	log <vkey> [<url>]
//	witness <name> <vkey> [<url>]
//	group <name> <n|any|all> <members...>
//	quorum <name|none>
//	succeeds <vkey>
//
// with exactly one log and one quorum. The last is ours, and may be absent or stand
// several times: the log goes on from one that had this key and name (key-changed), so a
// mirror of that one goes on too. What the old key has signed is believed of a mirror's
// own memory alone, and of what the new log begins with. "quorum none" trusts the log's signature
// alone. Keys are Ed25519; those of witnesses, and the log's second key, which stands
// among them, may be ML-DSA-44. Lines that begin with # are comments.
func ParsePolicy(text []byte) (*Policy, error) {
	if len(text) > MaxPolicy {
		return nil, fmt.Errorf("policy has %d bytes, at most %d are allowed", len(text), MaxPolicy)
	}
	p := &Policy{text: bytes.Clone(text)}
	known := map[string]*quorum{}
	ended := false
	for number, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		err := error(nil)
		switch {
		case fields[0] == "log" && (len(fields) == 2 || len(fields) == 3) && p.log == nil:
			err = p.setLog(fields[1])
		case fields[0] == "witness" && (len(fields) == 3 || len(fields) == 4):
			err = p.addWitness(fields, known)
		case fields[0] == "group" && len(fields) >= 4:
			err = addGroup(fields, known)
		case fields[0] == "succeeds" && len(fields) == 2:
			var old *Policy
			if old, err = LogPolicy(fields[1]); err == nil {
				p.succeeds = append(p.succeeds, old)
			}
		case fields[0] == "quorum" && len(fields) == 2 && !ended:
			ended = true
			if fields[1] != "none" {
				if p.quorum = known[fields[1]]; p.quorum == nil {
					err = fmt.Errorf("quorum %q is not a witness or group above", fields[1])
				}
			}
		default:
			err = fmt.Errorf("%q is no line of a policy with one log and one quorum", line)
		}
		if err != nil {
			return nil, fmt.Errorf("policy line %d: %w", number+1, err)
		}
	}
	if p.log == nil || !ended {
		return nil, errors.New("policy needs a line 'log <vkey>' and a line 'quorum <name|none>'")
	}
	return p, nil
}

// LogPolicy is the policy that trusts the log's own signature and no witness.
func LogPolicy(vkey string) (*Policy, error) {
	return ParsePolicy([]byte("log " + vkey + "\nquorum none\n"))
}

func (p *Policy) setLog(vkey string) error {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return fmt.Errorf("log key %q: %w", vkey, err)
	}
	p.log = v
	p.time, err = newCosigner(vkey)
	return err
}

func checkMember(name string, known map[string]*quorum) error {
	if _, ok := known[name]; ok || name == "none" {
		return fmt.Errorf("name %q is taken", name)
	}
	return nil
}

func (p *Policy) addWitness(fields []string, known map[string]*quorum) error {
	w := Witness{Name: fields[1]}
	if err := checkMember(w.Name, known); err != nil {
		return err
	}
	if isMLDSA(fields[2]) {
		v, public, err := mldsaVerifier(fields[2])
		if err != nil {
			return err
		}
		w.Key, w.public = v, public
	} else {
		v, err := newCosigner(fields[2])
		if err != nil {
			return err
		}
		w.Key, w.public = v, v.key
	}
	for _, other := range p.witnesses {
		// One key under two names would count twice.
		if bytes.Equal(other.public, w.public) {
			return fmt.Errorf("witnesses %s and %s have the same key", other.Name, w.Name)
		}
	}
	if len(fields) == 4 {
		u, err := url.Parse(fields[3])
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return fmt.Errorf("witness %s: %q is not an http address", w.Name, fields[3])
		}
		w.URL = strings.TrimSuffix(fields[3], "/")
	}
	p.witnesses = append(p.witnesses, w)
	known[w.Name] = &quorum{witness: &w}
	return nil
}

func addGroup(fields []string, known map[string]*quorum) error {
	name := fields[1]
	if err := checkMember(name, known); err != nil {
		return err
	}
	q := &quorum{}
	for _, member := range fields[3:] {
		m := known[member]
		if m == nil || slices.Contains(q.of, m) {
			return fmt.Errorf("group %s: %q is not a witness or group above, or stands twice", name, member)
		}
		q.of = append(q.of, m)
	}
	switch fields[2] {
	case "any":
		q.need = 1
	case "all":
		q.need = len(q.of)
	default:
		n, err := strconv.Atoi(fields[2])
		if err != nil || n < 1 || n > len(q.of) {
			return fmt.Errorf("group %s: %q of %d members", name, fields[2], len(q.of))
		}
		q.need = n
	}
	known[name] = q
	return nil
}

// Origin is the name of the log that the policy is about.
func (p *Policy) Origin() string { return p.log.Name() }

// Predecessors are policies of the keys that the log had before.
func (p *Policy) Predecessors() []*Policy { return p.succeeds }

// Text is the policy as it was parsed.
func (p *Policy) Text() []byte { return p.text }

// Witnesses lists the witnesses, in the order of the policy.
func (p *Policy) Witnesses() []Witness { return p.witnesses }

// Open verifies a signed checkpoint: the log's signature and the witnesses'
// quorum. A *QuorumError comes with the checkpoint filled in, for a caller that
// is itself collecting cosignatures. Signature lines of keys that the policy does
// not name are ignored, as https://c2sp.org/signed-note asks.
func (p *Policy) Open(signed []byte) (*Checkpoint, error) {
	if len(signed) > MaxCheckpoint {
		return nil, fmt.Errorf("checkpoint has %d bytes, at most %d are allowed", len(signed), MaxCheckpoint)
	}
	known := []note.Verifier{p.log, p.time}
	for _, w := range p.witnesses {
		known = append(known, w.Key)
	}
	n, err := note.Open(signed, note.VerifierList(known...))
	if unsigned := (*note.UnverifiedNoteError)(nil); errors.As(err, &unsigned) {
		origin, _, _ := strings.Cut(unsigned.Note.Text, "\n")
		if origin != p.Origin() {
			return nil, fmt.Errorf("checkpoint says that it is of %q, the policy is about %q", origin, p.Origin())
		}
		return nil, fmt.Errorf("checkpoint of %s: none of its signatures is of a key that the policy names", origin)
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	c := &Checkpoint{Note: bytes.Clone(signed)}
	if c.Origin, c.Tree, err = parseCheckpointText(n.Text); err != nil {
		return nil, err
	}
	if c.Origin != p.Origin() {
		return nil, fmt.Errorf("checkpoint is of %q, the policy is about %q", c.Origin, p.Origin())
	}
	by := map[uint32]string{}
	for _, s := range n.Sigs {
		by[s.Hash] = s.Name
		if s.Hash == p.time.KeyHash() && s.Name == p.time.Name() {
			if c.Signed, err = cosignatureTime(s); err != nil {
				return nil, fmt.Errorf("checkpoint: %w", err)
			}
		}
	}
	if by[p.log.KeyHash()] != p.log.Name() {
		return nil, fmt.Errorf("checkpoint of %s has no signature of the log", c.Origin)
	}
	if p.quorum != nil && !p.quorum.satisfied(by, map[*quorum]bool{}) {
		return c, &QuorumError{c.Origin, c.Tree.N}
	}
	return c, nil
}
