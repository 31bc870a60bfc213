package protocol

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mezhved/signing"
)

// Judge is asked about signatures over protocols what nothing in their folder can prove:
// whether a time stamp is of an authority that is believed, and whether the certificate of
// a signer was revoked. It may ask the network, for as long as signing.Revocation bounds
// it. The nil Judge knows nobody. It is safe for concurrent use.
type Judge struct {
	verifier   *signing.Verifier
	stamps     bool
	trust      *signing.Trust
	revocation *signing.Revocation
}

// NewJudge makes a Judge of the roots of time-stamping authorities, and of the trust that
// callers of the gateway are held against, with its revocation; either may be missing.
func NewJudge(authorities []*signing.Certificate, trust *signing.Trust, revocation *signing.Revocation) (*Judge, error) {
	j := &Judge{stamps: len(authorities) > 0, trust: trust, revocation: revocation}
	opt := signing.Options{SignatureOnly: true, Algorithms: signing.Algorithms()}
	if j.stamps {
		believed, err := signing.NewTrust(signing.TrustOptions{Roots: authorities})
		if err != nil {
			return nil, err
		}
		if opt.Stamps, err = signing.NewVerifier(signing.Options{Trust: believed, Algorithms: signing.Algorithms()}); err != nil {
			return nil, err
		}
	}
	var err error
	j.verifier, err = signing.NewVerifier(opt)
	return j, err
}

// nobody is who judges where nothing is configured.
var nobody = func() *Judge {
	j, err := NewJudge(nil, nil, nil)
	if err != nil {
		panic("protocol: " + err.Error())
	}
	return j
}()

// Refresh reads the revocation lists again. What cannot be read is said of each signature
// of which nobody can tell.
func (j *Judge) Refresh(ctx context.Context) {
	if j != nil && j.revocation != nil {
		j.revocation.Load(ctx)
	}
}

// Unchecked is what of a signature nobody has checked, and why.
type Unchecked struct{ English, Russian string }

// time gives when a signature was made. An authority's word counts when it is believed;
// else the signer's own does, and that of an authority that nobody knows where he says
// nothing.
func (j *Judge) time(f signing.SignedFile, s *Signature) {
	stamp, wrong := f.Timestamp()
	s.At = f.Claimed()
	switch {
	case stamp != nil && j.stamps:
		s.At, s.Stamped = stamp.Time(), true
	case stamp != nil:
		if s.At.IsZero() {
			s.At = stamp.Time()
		}
		s.unchecked("whose time stamp it bears: no authority is configured (protocols.authorities, journal.timestamp.anchors or trust.roots), so its time is the signer's own word",
			"чья метка времени в подписи: служба меток не настроена (protocols.authorities, journal.timestamp.anchors или trust.roots), поэтому время — слово подписавшего")
	case wrong != nil:
		s.unchecked("when it was made: its time stamp proves nothing, so its time is the signer's own word: "+wrong.Error(),
			"когда она поставлена: метка времени ничего не доказывает, поэтому время — слово подписавшего: "+inRussian(wrong))
	}
}

// revoked says that a signer's certificate was revoked; nil also where nobody can tell,
// which the signature then says.
func (j *Judge) revoked(s *Signature, now time.Time) error {
	if j.trust == nil || j.revocation == nil {
		s.unchecked("whether its certificate was revoked: neither lists nor responders are configured (trust.crls, trust.ocsp)",
			"отозван ли её сертификат: ни списки, ни службы OCSP не настроены (trust.crls, trust.ocsp)")
		return nil
	}
	why, err := j.trust.CheckSigned(s.Certificate, s.At, now, s.Stamped)
	var e *signing.Error
	if errors.As(err, &e) && e.Code == signing.CertificateRevoked {
		return err
	}
	if err == nil {
		err = why
	}
	if err != nil { // a responder that is out of order takes no service out of use
		s.unchecked(fmt.Sprintf("whether its certificate was revoked: %v", err), "отозван ли её сертификат: "+inRussian(err))
	}
	return nil
}

func (s *Signature) unchecked(en, ru string) { s.Unchecked = append(s.Unchecked, Unchecked{en, ru}) }

func inRussian(err error) string {
	var e *signing.Error
	if errors.As(err, &e) {
		return e.Code.Russian()
	}
	return err.Error()
}
