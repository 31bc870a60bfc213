package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

type verifyCmd struct {
	File          string    `arg:"" optional:"" help:"XML file, or with --detached any file; - or nothing is standard input."`
	Detached      string    `placeholder:"SIGNATURE" type:"existingfile" help:"Detached CMS signature (PKCS#7: PEM, base64 or DER) of the file."`
	Explain       bool      `help:"Say everything about each signature: what it covers, by whom, which known deviation would match."`
	Octets        bool      `help:"With --explain: print the canonical and the transformed octets too (content of the document)."`
	At            time.Time `placeholder:"TIME" help:"Judge certificates as of this moment (RFC 3339); default now."`
	SignatureOnly bool      `help:"Leave chains and dates of certificates out."`
	Roots         []string  `placeholder:"FILE" type:"existingfile" help:"Trusted root certificates; without any, every certificate within its dates will do."`
	Intermediates []string  `placeholder:"FILE" type:"existingfile" help:"Certificates that help to build chains."`
	CRL           []string  `name:"crl" placeholder:"FILE" help:"Revocation lists (files or addresses)."`
	Lang          string    `default:"en" enum:"en,ru" help:"Language of the words: en or ru."`
	JSON          bool      `name:"json" help:"Print JSON: one object a signature."`
}

func (verifyCmd) Help() string {
	return `Takes any XML file that carries SMEV signatures: a request, an answer of the bus, a bare operation, a saved SOAP
body; or, with --detached, any file and its own signature. Exit code 0: every signature holds; 1: one does not, or there
is none; 2: the file cannot be read.

Examples:
  mezhved verify request.xml
  mezhved verify --explain --lang ru request.xml
  mezhved verify --json --at 2021-03-01T12:00:00Z --roots roots.pem answer.xml
  mezhved verify --detached plan.zip.p7s plan.zip`
}

func (c *verifyCmd) Run(out *stdio) error {
	src, err := readInput(out, c.File)
	if err != nil {
		return err
	}
	v, err := c.verifier()
	if err != nil {
		return usage(err)
	}
	at := c.At
	if at.IsZero() {
		at = time.Now()
	}
	if c.Detached != "" {
		return c.detached(out, v, src, at)
	}
	var tape xmltape.Tape
	if err := tape.Parse(src, xmltape.Limits{Size: 256 << 20}); err != nil {
		return usage(fmt.Errorf("%s is no XML that the gate lets in: %w", cmp.Or(c.File, "standard input"), err))
	}
	found := v.Explain(&tape, at, math.MaxInt)
	bad := len(found) == 0
	for i := range found {
		bad = bad || found[i].Verdict != "valid"
		if !c.Octets {
			found[i].Canonical, found[i].Transformed, found[i].SignedInfo = nil, nil, nil
		}
	}
	if err := c.print(out, found); err != nil {
		return err
	}
	if bad {
		return no(errSaid)
	}
	return nil
}

// detachedJSON is the verdict on a file's own signature.
type detachedJSON struct {
	Verdict     string             `json:"verdict"` // valid or invalid
	Code        signing.Code       `json:"code,omitempty"`
	Reason      string             `json:"reason,omitempty"`
	Deviation   *signing.Deviation `json:"deviation,omitempty"`
	Certificate string             `json:"certificate,omitempty"` // subject
	Algorithm   string             `json:"algorithm,omitempty"`
	Claimed     time.Time          `json:"claimed,omitzero"`
	Stamped     time.Time          `json:"timestamp,omitzero"`
	StampedBy   string             `json:"timestampBy,omitempty"`
	BadStamp    string             `json:"timestampError,omitempty"`
}

func (c *verifyCmd) detached(out *stdio, v *signing.Verifier, src []byte, at time.Time) error {
	file, err := os.ReadFile(c.Detached)
	if err != nil {
		return usage(err)
	}
	der, err := signing.ParseCMS(file)
	if err != nil {
		return usage(fmt.Errorf("%s: %w", c.Detached, err))
	}
	j := detachedJSON{Verdict: "valid"}
	signed, err := v.VerifyCMSAt(der, signing.Octets{Bytes: src}, at)
	var e *signing.Error
	switch {
	case err == nil:
		j.Certificate, j.Algorithm, j.Claimed = signed.Certificate().Subject(), signed.Algorithm().String(), signed.Claimed()
		if stamp, bad := signed.Timestamp(); stamp != nil {
			j.Stamped, j.StampedBy = stamp.Time(), stamp.Certificate().Subject()
		} else if bad != nil {
			j.BadStamp = bad.Error()
		}
	case errors.As(err, &e):
		j.Verdict, j.Code, j.Reason, j.Deviation = "invalid", e.Code, e.Detail, e.Slip
		if e.Err != nil {
			j.Reason += ": " + e.Err.Error()
		}
		if e.Certificate != nil {
			j.Certificate = e.Certificate.Subject()
		}
	default:
		return err
	}
	if c.JSON {
		if err := printJSON(out.out, j); err != nil {
			return err
		}
	} else {
		by, reason := "", j.Reason
		if j.Certificate != "" {
			by = " by " + j.Certificate
		}
		switch {
		case j.Verdict == "valid":
			reason = j.Algorithm
			if !j.Claimed.IsZero() {
				reason += ", signed at " + j.Claimed.Format(time.RFC3339) + " by the signer's own clock"
			}
			switch {
			case !j.Stamped.IsZero():
				reason += ", there at " + j.Stamped.Format(time.RFC3339) + " by the time stamp of " + j.StampedBy
			case j.BadStamp != "":
				reason += ", with a time stamp that proves nothing: " + j.BadStamp
			}
		case j.Deviation != nil && c.Lang == "ru":
			reason = j.Deviation.Russian
		case c.Lang == "ru":
			reason = j.Code.Russian() + " (" + j.Reason + ")"
		case j.Deviation != nil && j.Deviation.English != j.Reason:
			reason += ": " + j.Deviation.English
		}
		fmt.Fprintf(out.out, "%-7s %s%s\n        %s\n", j.Verdict, cmp.Or(c.File, "standard input"), by, reason)
	}
	if j.Verdict != "valid" {
		return no(errSaid)
	}
	return nil
}

func (c *verifyCmd) verifier() (*signing.Verifier, error) {
	opt := signing.Options{SignatureOnly: c.SignatureOnly, Algorithms: signing.Algorithms()}
	if len(c.Roots) > 0 && !c.SignatureOnly {
		t := signing.TrustOptions{}
		var err error
		if t.Roots, err = readCertificates(c.Roots); err != nil {
			return nil, err
		}
		if t.Intermediates, err = readCertificates(c.Intermediates); err != nil {
			return nil, err
		}
		if len(c.CRL) > 0 {
			if t.Revocation, err = signing.NewRevocation(signing.RevocationOptions{CRLs: c.CRL}); err != nil {
				return nil, err
			}
		}
		if opt.Trust, err = signing.NewTrust(t); err != nil {
			return nil, err
		}
	} else if len(c.CRL) > 0 || len(c.Intermediates) > 0 {
		return nil, errors.New("--crl and --intermediates need --roots")
	}
	return signing.NewVerifier(opt)
}

func (c *verifyCmd) print(out *stdio, found []signing.Explanation) error {
	if c.JSON {
		if found == nil {
			found = []signing.Explanation{}
		}
		return printJSON(out.out, found)
	}
	if c.Explain || len(found) == 0 {
		lang := signing.English
		if c.Lang == "ru" {
			lang = signing.Russian
		}
		return signing.WriteExplanations(out.out, found, lang, c.Octets)
	}
	for _, x := range found {
		by := ""
		if x.Certificate != nil {
			by = " by " + x.Certificate.Subject
		}
		fmt.Fprintf(out.out, "%-7s %s%s\n        %s\n", x.Verdict, x.Place, by, x.Reason)
	}
	return nil
}
