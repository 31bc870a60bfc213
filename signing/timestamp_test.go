package signing_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"
	"time"

	"mezhved/signing"
	"mezhved/signing/tsatest"
)

// verifierOf believes the roots.
func verifierOf(t *testing.T, roots ...*signing.Certificate) *signing.Verifier {
	t.Helper()
	trust, err := signing.NewTrust(signing.TrustOptions{Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	v, err := signing.NewVerifier(signing.Options{Trust: trust})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestTimestampsOfOpenSSL(t *testing.T) {
	tsa := tsatest.New(t)
	octets := []byte("the text of a checkpoint")
	before := time.Now().Add(-2 * time.Second)
	query, nonce, err := signing.TimestampRequest(sha256.Sum256(octets))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := tsa.Answer(query)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signing.TimestampToken(answer, new(big.Int).Add(nonce, big.NewInt(1))); err == nil {
		t.Error("an answer to another request is taken")
	}
	token := tsa.Stamp(octets)
	v := verifierOf(t, tsa.Root)
	ts, err := v.VerifyTimestamp(token, signing.Octets{Bytes: octets})
	if err != nil {
		t.Fatal(err)
	}
	if ts.Time().Before(before) || ts.Time().After(time.Now().Add(time.Second)) || ts.Policy() != "1.2.3.4.1" || ts.Accuracy() != 1500*time.Millisecond+100*time.Microsecond || ts.Certificate() == nil {
		t.Errorf("time %s, policy %s, accuracy %s", ts.Time(), ts.Policy(), ts.Accuracy())
	}
	if _, err := v.VerifyTimestamp(token, signing.Octets{Bytes: []byte("another text")}); err == nil {
		t.Error("a token over other octets is taken")
	}
	if _, err := verifierOf(t, tsatest.New(t).Root).VerifyTimestamp(token, signing.Octets{Bytes: octets}); err == nil {
		t.Error("a token of an authority that is not believed is taken")
	}
	misused := tsa.WithMisused(token)
	var refused *signing.Error
	if _, err := v.VerifyTimestamp(misused, signing.Octets{Bytes: octets}); !errors.As(err, &refused) || refused.Code != signing.CertificateUsage {
		t.Errorf("with a certificate that is not for time stamps: %v", err)
	}
	// No bit of a token can be changed but for those that nothing covers, and those
	// do not change what it says.
	for i := range token {
		for _, bit := range []byte{1, 0x40} {
			bad := bytes.Clone(token)
			bad[i] ^= bit
			if got, err := v.VerifyTimestamp(bad, signing.Octets{Bytes: octets}); err == nil && (!got.Time().Equal(ts.Time()) || got.Policy() != ts.Policy() || got.Accuracy() != ts.Accuracy() || got.Certificate().SHA256 != ts.Certificate().SHA256) {
				t.Fatalf("byte %d was changed and the token says %+v", i, got)
			}
		}
	}
}

// An authority's refusal is told in its words.
func TestTimestampRefused(t *testing.T) {
	refusal, err := asn1.Marshal(struct {
		Status struct {
			Code int
			Text []string
		}
	}{struct {
		Code int
		Text []string
	}{2, []string{"not today"}}})
	if err != nil {
		t.Fatal(err)
	}
	for what, answer := range map[string][]byte{"a refusal": refusal, "nothing": nil, "nonsense": []byte("<html>"), "cut": refusal[:4]} {
		if _, err := signing.TimestampToken(answer, big.NewInt(1)); err == nil {
			t.Errorf("%s is taken for a token", what)
		}
	}
}

// A file's signature with a token over its value is recognised, whatever else is to be
// said of it; one whose token is over something else, or of nobody we believe, holds
// and has no time.
func TestTimeOfAFileSignature(t *testing.T) {
	tsa := tsatest.New(t)
	ca, err := signing.NewTestCA("CA", signing.KeyECDSA256, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	id, err := ca.Issue(signing.TestSubject{CommonName: "official"}, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := id.Signer()
	if err != nil {
		t.Fatal(err)
	}
	file := signing.Octets{Bytes: []byte("plan")}
	bes, err := signing.SignCMS(context.Background(), file, signer, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	value := tsatest.Value(t, bes)
	good, foreign := tsa.Stamp(value), tsatest.New(t).Stamp(value)
	over := tsa.Stamp([]byte("something else"))
	v := verifierOf(t, ca.Certificate, tsa.Root)
	for _, c := range []struct {
		what   string
		der    []byte
		timed  bool
		broken bool
	}{
		{"none", bes, false, false},
		{"good", tsatest.WithTimestamps(t, bes, good), true, false},
		{"over other octets", tsatest.WithTimestamps(t, bes, over), false, true},
		{"of nobody", tsatest.WithTimestamps(t, bes, foreign), false, true},
		{"nonsense", tsatest.WithTimestamps(t, bes, []byte{0x30, 0}), false, true},
		{"one of several", tsatest.WithTimestamps(t, bes, over, good), true, false},
	} {
		signed, err := v.VerifyCMS(c.der, file)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		ts, err := signed.Timestamp()
		if (ts != nil) != c.timed || (err != nil) != c.broken {
			t.Errorf("%s: time stamp %v, %v", c.what, ts, err)
		}
	}
}
