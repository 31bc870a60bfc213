package audit

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"mezhved/adapter/journal"
)

// mirrorState is mirror.json. It saves work; what a rewritten log is caught by are
// the checkpoints, which are signed.
type mirrorState struct {
	Visited    time.Time `json:"visited"`
	Checkpoint []byte    `json:"checkpoint"`
	Recount    *Recount  `json:"recount"`
	Begun      bool      `json:"begun,omitempty"`  // the first visit, to the log of this checkpoint, has not come to its end
	Visits     []int64   `json:"visits,omitempty"` // sizes of the checkpoints kept, so that one that is gone is missed
	Sum        string    `json:"sum,omitempty"`    // SHA-256 of this object without sum
}

func (s mirrorState) marshal() ([]byte, error) {
	s.Sum = ""
	b, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	s.Sum = hex.EncodeToString(sum[:])
	return json.Marshal(s)
}

// Memory is what a mirror remembers of its visits, as far as it can be verified.
type Memory struct {
	Known   []*journal.Checkpoint // by size
	Damaged []string              // what was remembered and cannot be verified, each a sentence
	Forks   []*ForkError          // found at earlier visits
	Stamps  []Stamp               // by size

	begun  *journal.Checkpoint // of the first visit, while none has come to its end
	state  *mirrorState        // nil when there is none to go on from
	visits map[int64]bool      // sizes of which there is a checkpoint, damaged or not
}

// Remember reads the memory of the mirror in dir: the checkpoints of its visits,
// and the forks that it has found. They must verify under policy, or under one of
// earlier: policies that the auditor had at earlier visits. A folder that is no
// mirror remembers nothing.
func Remember(dir string, policy *journal.Policy, earlier ...*journal.Policy) (*Memory, error) {
	m := &Memory{visits: map[int64]bool{}}
	open := func(name string) (*journal.Checkpoint, error) {
		b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		return openUnder(b, policy, earlier)
	}
	if err := m.checkpoints(dir, open); err != nil {
		return nil, err
	}
	if err := m.lastVisit(dir, policy, earlier); err != nil {
		return nil, err
	}
	switch c, err := open(checkpointFile); {
	case err == nil:
		m.Known = append(m.Known, c)
	case !errors.Is(err, fs.ErrNotExist) && len(m.Known) == 0:
		m.damage(checkpointFile, err)
	}
	m.taken(dir)
	if err := m.forks(dir, open); err != nil {
		return nil, err
	}
	if err := m.stamps(dir, policy, earlier); err != nil {
		return nil, err
	}
	slices.SortFunc(m.Known, func(a, b *journal.Checkpoint) int {
		return cmp.Or(cmp.Compare(a.Tree.N, b.Tree.N), strings.Compare(a.Tree.Hash.String(), b.Tree.Hash.String()))
	})
	m.Known = slices.CompactFunc(m.Known, func(a, b *journal.Checkpoint) bool { return a.Tree == b.Tree })
	return m, nil
}

// openUnder opens a checkpoint that was taken under the policy, under one of before of
// the same log, or under the key of a log that the policy says it succeeds.
func openUnder(note []byte, policy *journal.Policy, earlier []*journal.Policy) (*journal.Checkpoint, error) {
	c, err := policy.Open(note)
	for _, p := range earlier {
		if err == nil {
			break
		}
		if old, again := p.Open(note); again == nil && p.Origin() == policy.Origin() {
			c, err = old, nil
		}
	}
	for _, p := range policy.Predecessors() {
		if err == nil {
			break
		}
		if old, again := p.Open(note); again == nil {
			c, err = old, nil
		}
	}
	return c, err
}

func (m *Memory) damage(name string, err error) {
	m.Damaged = append(m.Damaged, fmt.Sprintf("%s was remembered and cannot be verified: %v. Restore it from a copy, or name the policy that it was taken under; "+
		"or move it away when you know why it is so", name, err))
}

// taken notes that the memory of a folder is gone in which mirrors were at work: the
// first thing that they write is mirror.json.
func (m *Memory) taken(dir string) {
	if m.state != nil || m.begun != nil || len(m.visits) > 0 || len(m.Damaged) > 0 {
		return
	}
	there := func(name string) bool { return exists(filepath.Join(dir, name)) }
	if there(lockFile) && !there(mirrorFile) && (there(checkpointFile) || there("tile")) {
		m.Damaged = append(m.Damaged, fmt.Sprintf("%s and %s are gone, and with them what was seen at earlier visits: put them back from a copy, or begin a mirror in a new folder "+
			"(one whose first visit was cut short by a release that did not write %[1]s first looks the same)", mirrorFile, checkpointsDir))
	}
}

// checkpoints reads those of the visits.
func (m *Memory) checkpoints(dir string, open func(string) (*journal.Checkpoint, error)) error {
	files, err := os.ReadDir(filepath.Join(dir, checkpointsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), ".") { // earlier versions wrote here and could be killed
			continue
		}
		name := checkpointsDir + "/" + f.Name()
		c, err := open(name)
		size, digits := strconv.ParseInt(f.Name(), 10, 64)
		if err == nil && (digits != nil || size != c.Tree.N) {
			err = fmt.Errorf("it is the checkpoint of %d entries", c.Tree.N)
		}
		if digits == nil {
			m.visits[size] = true
		}
		if err != nil {
			m.damage(name, err)
			continue
		}
		m.Known = append(m.Known, c)
	}
	return nil
}

// lastVisit reads mirror.json.
func (m *Memory) lastVisit(dir string, policy *journal.Policy, earlier []*journal.Policy) error {
	b, err := os.ReadFile(filepath.Join(dir, mirrorFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var s mirrorState
	var c *journal.Checkpoint
	if err = strictJSON(b, &s); err == nil && s.Sum != "" { // earlier versions wrote none
		if again, merr := s.marshal(); merr != nil || string(again) != string(b) {
			err = errors.New("it is not as it was written")
		}
	}
	if err == nil {
		c, err = openUnder(s.Checkpoint, policy, earlier)
	}
	if err == nil && s.Begun && s.Recount == nil {
		m.begun = c
		return nil
	}
	if err == nil && (s.Recount == nil || s.Recount.Size != c.Tree.N) {
		err = errors.New("it contradicts itself")
	}
	if err != nil {
		m.damage(mirrorFile, err)
		return nil
	}
	m.state = &s
	m.Known = append(m.Known, c)
	for _, size := range s.Visits {
		if !m.visits[size] && size != c.Tree.N {
			m.damage(fmt.Sprintf("%s/%d", checkpointsDir, size), errors.New("it is gone"))
		}
	}
	return nil
}

func (m *Memory) forks(dir string, open func(string) (*journal.Checkpoint, error)) error {
	folders, err := os.ReadDir(filepath.Join(dir, forksDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, f := range folders {
		name := forksDir + "/" + f.Name()
		before, err := open(name + "/before")
		now, err2 := open(name + "/now")
		if err := errors.Join(err, err2); err != nil {
			m.damage(name, err)
			continue
		}
		m.Forks = append(m.Forks, &ForkError{before, now, "kept in " + name})
	}
	return nil
}

// stamps reads the stamped checkpoints.
func (m *Memory) stamps(dir string, policy *journal.Policy, earlier []*journal.Policy) error {
	files, err := os.ReadDir(filepath.Join(dir, stampsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, f := range files {
		name := stampsDir + "/" + f.Name()
		b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		s, err := openStamp(b, policy, earlier)
		if err == nil && f.Name() != fmt.Sprintf("%d.json", s.Checkpoint.Tree.N) {
			err = fmt.Errorf("it is the checkpoint of %d entries", s.Checkpoint.Tree.N)
		}
		if err != nil {
			m.damage(name, err)
			continue
		}
		m.Stamps = append(m.Stamps, *s)
	}
	slices.SortFunc(m.Stamps, func(a, b Stamp) int { return cmp.Compare(a.Checkpoint.Tree.N, b.Checkpoint.Tree.N) })
	return nil
}

// Last is the largest checkpoint, or nil.
func (m *Memory) Last() *journal.Checkpoint {
	if len(m.Known) == 0 {
		return nil
	}
	return m.Known[len(m.Known)-1]
}
