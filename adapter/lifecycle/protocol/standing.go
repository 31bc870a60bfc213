package protocol

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mezhved/signing"
)

// Names in the folder "protocol".
const (
	FileJSON   = "protocol.json"
	FileHTML   = "protocol.html"
	FileForced = "forced.json"
	extension  = ".p7s"
)

// Version is what the registry knows of a version whose protocol is examined.
type Version struct {
	Dir               string
	Service, Version  string
	Request, Response string   // {namespace}local
	Schema            string   // hex SHA-256 of the compiled bundle
	Rules             Rules    // what else decides what it does
	Before            *Before  // the version before as it is now; Version and Schema are looked at
	Signers           []Signer // who must have signed
	Judge             *Judge   // nil: nobody knows authorities and revocations
	Now               time.Time
}

// Signer is somebody whose signature is asked for, and his keys.
type Signer struct {
	Mnemonic     string
	Certificates [][32]byte // SHA-256 of those that the registry has for him
}

// Flaw is one reason why a protocol does not hold, about a file of the version's
// folder.
type Flaw struct{ File, English, Russian string }

func (f Flaw) String() string { return f.File + ": " + f.English }

// InRussian is the flaw in Russian, with its file.
func (f Flaw) InRussian() string { return f.File + ": " + f.Russian }

// Signature is a proved signature over a protocol.
type Signature struct {
	Mnemonic    string
	Certificate *signing.Certificate
	Algorithm   signing.Algorithm
	At          time.Time // by the time stamp, else by the signer's word
	Stamped     bool      // an authority that is believed says so
	Unchecked   []Unchecked
}

// Standing is what a version's folder proves. The zero Standing is that of a folder
// without a protocol.
type Standing struct {
	Document   *Document // nil: there is none that can be read
	Digest     string    // of protocol.json
	Signatures []Signature
	Flaws      []Flaw  // empty: the version may be in use
	Outdated   *Flaw   // a new one has to be made before it is published: it compares with another version before, or is of the form of before
	Forced     *Forced // it is published nevertheless
}

// Holds says that the version may be published: its protocol passed, is signed, and
// is over what stands in the folder; or somebody has forced it.
func (s *Standing) Holds() bool { return len(s.Flaws) == 0 || s.Forced != nil }

// OfBefore says that a protocol of FormFiles is what the version is published by.
func (s *Standing) OfBefore() bool { return s.Document != nil && s.Document.Form == FormFiles }

// SignedBy says that somebody's signature is among those that are proved.
func (s *Standing) SignedBy(mnemonic string) bool {
	return slices.ContainsFunc(s.Signatures, func(one Signature) bool { return one.Mnemonic == mnemonic })
}

// Examine holds a version's folder against its protocol.
func Examine(v Version) *Standing {
	s := &Standing{}
	name := folder + "/" + FileJSON
	src, err := os.ReadFile(pathOf(v.Dir, FileJSON))
	none := errors.Is(err, fs.ErrNotExist)
	if none {
		s.flaw(name, "there is no test protocol: make one with mezhved services test", "протокола испытаний нет: составьте его командой mezhved services test")
		if _, err := os.Stat(pathOf(v.Dir, FileForced)); errors.Is(err, fs.ErrNotExist) {
			return s // most folders of a registry without a gate: nothing of them need be read
		}
	}
	now, unread := Take(v.Dir)
	if unread != nil {
		s.flaw(".", "cannot be read: "+unread.Error(), "не читается: "+unread.Error())
		return s
	}
	s.forced(v, now.Digest())
	if none {
		return s
	}
	if err == nil {
		s.Document, err = Parse(src)
	}
	if err != nil {
		s.flaw(name, err.Error(), err.Error())
		return s
	}
	s.Digest = DigestOf(src)
	d := s.Document
	if d.Service != v.Service || d.Version != v.Version {
		s.flaw(name, fmt.Sprintf("is of %s %s", d.Service, d.Version), fmt.Sprintf("составлен о %s %s", d.Service, d.Version))
	}
	if d.Request != v.Request || d.Response != v.Response {
		s.flaw("service.yaml", "the roots are others than those that were tested", "корневые элементы не те, что испытаны")
	}
	if !d.Passed {
		s.flaw(name, fmt.Sprintf("the tests were not passed: %d defects", len(d.Defects)), fmt.Sprintf("испытания не пройдены, дефектов: %d", len(d.Defects)))
	}
	s.Flaws = append(s.Flaws, now.differences(d.Files)...)
	if d.Form != FormFiles {
		s.Flaws = append(s.Flaws, v.Rules.differences(Rules{d.Settings, d.Dictionaries})...)
	}
	if len(s.Flaws) == 0 && d.Schema != v.Schema {
		s.flaw("service.yaml", "the schema is put together otherwise than it was tested (schemas, imports)", "схема собирается не так, как при испытаниях (schemas, imports)")
	}
	s.before(v)
	if d.Form == FormFiles && s.Outdated == nil {
		s.Outdated = &Flaw{name, "is of a form that says nothing of service.yaml and of dictionaries: what is changed in them is not noticed until a new one is made (mezhved services test --again) and signed",
			"составлен по прежней форме, без параметров service.yaml и справочников: их изменение не обнаружится, пока не составлен (mezhved services test --again) и не подписан новый"}
	}
	for _, signer := range v.Signers {
		s.signature(&v, src, signer)
	}
	return s
}

func (s *Standing) flaw(file, en, ru string) { s.Flaws = append(s.Flaws, Flaw{file, en, ru}) }

// before looks at the comparison with the version before. That there is none is a flaw.
// That it was made with another one, or with what that was then, is said for who is about
// to publish (Outdated): what somebody does in another version's folder later must not
// take one out of use that is published.
func (s *Standing) before(v Version) {
	name := folder + "/" + FileJSON
	had, is := s.Document.Before, v.Before
	switch {
	case is == nil || had != nil && *had.key() == *is.key():
	case had == nil:
		s.flaw(name, "the schema was not compared with that of version "+is.Version, "схема не сравнена со схемой версии "+is.Version)
	default:
		s.Outdated = &Flaw{name, fmt.Sprintf("the schema was compared with version %s as it was then; now version %s, as it is, is the one before", had.Version, is.Version),
			fmt.Sprintf("схема сравнена с тогдашней версией %s, а сейчас предыдущая — версия %s в нынешнем виде", had.Version, is.Version)}
	}
}

func (b *Before) key() *[2]string { return &[2]string{b.Version, b.Schema} }

// slack is how much clocks of those who test and sign may be apart: some programs take
// local time for UTC.
const slack = 24 * time.Hour

func (s *Standing) signature(v *Version, src []byte, signer Signer) {
	name, judge := folder+"/"+signer.Mnemonic+extension, cmp.Or(v.Judge, nobody)
	proved, err := judge.read(v.Dir, src, signer.Mnemonic)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.flaw(name, signer.Mnemonic+" has not signed: mezhved services protocol sign", signer.Mnemonic+" не подписал протокол: mezhved services protocol sign")
	case err != nil:
		s.flaw(name, "the signature does not hold: "+err.Error(), "подпись не действительна: "+inRussian(err))
	case !slices.Contains(signer.Certificates, proved.Certificate.SHA256):
		s.flaw(name, fmt.Sprintf("is signed with a certificate (%s) that the registry does not have for %s", proved.Certificate.Subject(), signer.Mnemonic),
			fmt.Sprintf("подписано сертификатом (%s), который за участником %s не зарегистрирован", proved.Certificate.Subject(), signer.Mnemonic))
	case proved.At.Before(proved.Certificate.X509.NotBefore) || proved.At.After(proved.Certificate.X509.NotAfter):
		s.flaw(name, "is signed outside the dates of its certificate", "подписано вне срока действия сертификата")
	case proved.At.Before(s.Document.Made.Add(-slack)): // whose certificate has ended since says so
		s.flaw(name, "is signed before the protocol was made, as it says itself", "подписано, по указанному в подписи времени, раньше, чем составлен протокол")
	default:
		key := proved.Certificate.X509.RawSubjectPublicKeyInfo
		for _, other := range s.Signatures { // two certificates, and one who signs
			if bytes.Equal(key, other.Certificate.X509.RawSubjectPublicKeyInfo) {
				s.flaw(name, "is signed with the same key as "+other.Mnemonic+".p7s", "подписано тем же ключом, что и "+other.Mnemonic+".p7s")
				return
			}
		}
		if err := judge.revoked(&proved, v.Now); err != nil {
			s.flaw(name, err.Error()+proved.word("; no time stamp proves that the signature is older"), inRussian(err)+proved.word("; метки времени, доказывающей, что подпись поставлена раньше, нет"))
			return
		}
		s.Signatures = append(s.Signatures, proved)
	}
}

// word is said of a signature that bears the signer's own word about its time.
func (s *Signature) word(text string) string {
	if s.Stamped {
		return ""
	}
	return text
}

// read proves one signature file over a protocol.
func (j *Judge) read(dir string, src []byte, mnemonic string) (Signature, error) {
	out := Signature{Mnemonic: mnemonic}
	file, err := os.ReadFile(pathOf(dir, mnemonic+extension))
	if err != nil {
		return out, err
	}
	der, err := signing.ParseCMS(file)
	if err != nil {
		return out, err
	}
	signed, err := j.verifier.VerifyCMS(der, signing.Octets{Bytes: src})
	if err != nil {
		return out, err
	}
	out.Certificate, out.Algorithm = signed.Certificate(), signed.Algorithm()
	j.time(signed, &out)
	if out.At.IsZero() {
		return out, errors.New("it does not say when it was made")
	}
	return out, nil
}

// AllSignatures are the signature files of a folder that hold over its protocol, by
// name, whoever signed; and what is wrong with the others. No authority is asked.
func AllSignatures(dir string) (held []Signature, wrong []Flaw) {
	src, err := os.ReadFile(pathOf(dir, FileJSON))
	if err != nil {
		return nil, nil
	}
	names, _ := filepath.Glob(filepath.Join(quoted(filepath.Join(dir, folder)), "*"+extension))
	for _, name := range names {
		base := strings.TrimSuffix(filepath.Base(name), extension)
		if one, err := nobody.read(dir, src, base); err != nil {
			wrong = append(wrong, Flaw{folder + "/" + base + extension, err.Error(), err.Error()})
		} else {
			held = append(held, one)
		}
	}
	return held, wrong
}

func quoted(s string) string {
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(s)
}
