package protocol

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Forms of Documents. This version writes Form and reads both; one of FormFiles says
// nothing of settings and dictionaries, and so proves nothing of them.
const (
	Form      = "mezhved-protocol/2"
	FormFiles = "mezhved-protocol/1"
)

// Document is a test protocol. Words in it are Russian: it is for the process.
type Document struct {
	Form         string        `json:"form"`
	Service      string        `json:"service"`
	Version      string        `json:"version"`
	Title        string        `json:"title"`
	Request      string        `json:"request"`            // {namespace}local
	Response     string        `json:"response,omitempty"` // empty: a broadcast
	Schema       string        `json:"schema"`             // hex SHA-256 of the compiled bundle, as entries of the journal name it
	Digest       string        `json:"digest"`             // hex SHA-256 over Files: schema, samples, scenarios, reference messages
	Files        Inventory     `json:"files"`
	Settings     []Setting     `json:"settings,omitempty"`     // what service.yaml says of what the service does, by name
	Dictionaries []Edition     `json:"dictionaries,omitempty"` // those that content is held against, by name and version
	Before       *Before       `json:"before,omitempty"`       // the version before; nil: this is the first
	Participants []Participant `json:"participants"`
	Cases        []Case        `json:"cases"`
	Defects      []Defect      `json:"defects"`
	Passed       bool          `json:"passed"`
	Made         time.Time     `json:"made"`   // UTC, whole seconds
	Millis       int64         `json:"millis"` // how long all cases took
	Program      string        `json:"program"`
}

// Setting is a setting of a service.yaml, by its path. One that is not set is none.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Edition is a version of a dictionary.
type Edition struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"` // of its file
}

// Before is what a sender has to change who comes from the version before.
type Before struct {
	Version  string   `json:"version"`
	Schema   string   `json:"schema"`  // hex SHA-256 of its bundle
	Changes  int      `json:"changes"` // all of them
	Breaking []string `json:"breaking"`
}

// Role is the part that somebody has in a test.
type Role string

// The roles.
const (
	Operator Role = "operator"
	Provider Role = "provider"
	Caller   Role = "caller"
)

var roleRussian = map[Role]string{Operator: "оператор", Provider: "поставщик", Caller: "потребитель"}

// Russian is the role in Russian.
func (r Role) Russian() string { return roleRussian[r] }

// Participant is a body that took part, by the name under which it is registered.
type Participant struct {
	Role     Role   `json:"role"`
	Mnemonic string `json:"mnemonic"`
	Name     string `json:"name"`
}

// Kind is what a case is made of.
type Kind string

// The kinds.
const (
	Sample    Kind = "sample"    // content that must pass
	Negative  Kind = "negative"  // content that must be refused, by a certain rule
	Reference Kind = "reference" // a request with the answer that belongs to it
	Scenario  Kind = "scenario"  // a request that the emulator answers
	Compat    Kind = "compat"    // the schema beside that of the version before
)

var kindRussian = map[Kind]string{
	Sample: "образец", Negative: "негативный образец", Reference: "эталонное сообщение", Scenario: "сценарий", Compat: "сравнение схем",
}

// Russian is the kind in Russian.
func (k Kind) Russian() string { return kindRussian[k] }

// Case is one trial.
type Case struct {
	Kind     Kind   `json:"kind"`
	File     string `json:"file"`     // in the version's folder
	Expected string `json:"expected"` // what has to happen
	Got      string `json:"got"`      // what did
	Passed   bool   `json:"passed"`
	Millis   int64  `json:"millis"`
}

// Defect is why a case did not pass.
type Defect struct {
	Case int    `json:"case"` // its number, from 1
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
	Col  int    `json:"col,omitempty"`
	Rule string `json:"rule"` // cvc-…, or the fault's name, or the check
	Text string `json:"text"`

	English string `json:"-"` // Text for a terminal
}

// Encode is the one writing of a document: canonical JSON (RFC 8785; names are
// ASCII, numbers whole) with a newline at its end.
func (d *Document) Encode() []byte {
	flat, err := json.Marshal(d)
	if err != nil {
		panic("a protocol that JSON cannot tell: " + err.Error()) // strings, numbers and times only
	}
	dec := json.NewDecoder(bytes.NewReader(flat))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		panic("JSON that cannot be read: " + err.Error())
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b) // members of maps are sorted
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("a protocol that JSON cannot tell: " + err.Error())
	}
	out := bytes.ReplaceAll(b.Bytes(), []byte(`\u2028`), []byte("\u2028")) // RFC 8785 escapes nothing but what JSON must
	return bytes.ReplaceAll(out, []byte(`\u2029`), []byte("\u2029"))
}

// Parse reads a document. What is not byte for byte the writing that Encode makes is
// refused: what is signed must have one meaning.
func Parse(src []byte) (*Document, error) {
	dec := json.NewDecoder(bytes.NewReader(src))
	dec.DisallowUnknownFields()
	var d Document
	if err := dec.Decode(&d); err != nil {
		return nil, fmt.Errorf("no test protocol: %w", err)
	}
	if d.Form != Form && d.Form != FormFiles {
		return nil, fmt.Errorf("a protocol of the form %q, this version reads %q and %q", d.Form, Form, FormFiles)
	}
	if !bytes.Equal(d.Encode(), src) {
		return nil, errors.New("not the canonical writing of what it says: make it again with mezhved services test")
	}
	if err := d.contradiction(); err != nil {
		return nil, err
	}
	return &d, nil
}

// contradiction says where a document speaks against itself, as one does that somebody
// has edited before it was signed.
func (d *Document) contradiction() error {
	switch {
	case d.Form == FormFiles && len(d.Settings)+len(d.Dictionaries) > 0:
		return fmt.Errorf("its form is %q, which has no settings and dictionaries: make it again with mezhved services test", d.Form)
	case d.Digest != d.Files.Digest():
		return errors.New("its digest is not that of the files it lists: make it again with mezhved services test")
	case d.Passed != (len(d.Defects) == 0):
		return fmt.Errorf("it says passed: %t, and lists %d defects: make it again with mezhved services test", d.Passed, len(d.Defects))
	}
	for i, c := range d.Cases {
		if !c.Passed && !slices.ContainsFunc(d.Defects, func(f Defect) bool { return f.Case == i+1 }) {
			return fmt.Errorf("case %d has not passed, and no defect tells of it: make it again with mezhved services test", i+1)
		}
	}
	return nil
}

// DigestOf is the digest of a protocol's bytes, as the journal names it.
func DigestOf(src []byte) string {
	sum := sha256.Sum256(src)
	return hex.EncodeToString(sum[:])
}

// Repeats says that a protocol says what an older one says, times and program aside.
func (d *Document) Repeats(old *Document) bool {
	a, b := *d, *old
	if old.Form == FormFiles { // as far as it goes
		a.Form, a.Settings, a.Dictionaries = old.Form, nil, nil
	}
	for _, one := range []*Document{&a, &b} {
		one.Made, one.Millis, one.Program = time.Time{}, 0, ""
		one.Cases = slices.Clone(one.Cases)
		for i := range one.Cases {
			one.Cases[i].Millis = 0
		}
	}
	return bytes.Equal(a.Encode(), b.Encode())
}
