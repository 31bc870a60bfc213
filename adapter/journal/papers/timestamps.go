package papers

import (
	"mezhved/adapter/journal/audit"
	"mezhved/signing"
)

// Timestamp proves the token of a stamped checkpoint: all entries that the checkpoint
// signs were there at its time. anchors are the authorities that are believed about
// time; with none the token is proved under the certificate that it brings along.
func Timestamp(s *audit.Stamp, anchors []*signing.Certificate) (*signing.Timestamp, error) {
	var trust *signing.Trust
	if len(anchors) > 0 {
		var err error
		if trust, err = signing.NewTrust(signing.TrustOptions{Roots: anchors}); err != nil {
			return nil, err
		}
	}
	v, err := signing.NewVerifier(signing.Options{Trust: trust})
	if err != nil {
		return nil, err
	}
	return v.VerifyTimestamp(s.Token, signing.Octets{Bytes: s.Body()})
}
