package paper

import (
	"errors"
	"slices"
	"strings"
	"time"

	"mezhved/signing"
)

// Demand is what somebody wants of a party's report before he lets the party in.
type Demand struct {
	Mnemonic     string   // of the party; a report that names none is about whoever has the certificate
	Certificates []string // SHA-256 of the party's, in hexadecimal
	Roles        []string // in which it must have been tried

	signers []*signing.Certificate
}

// Trust adds the certificates of a file (PEM or DER) to those with which the report
// may be signed.
func (d *Demand) Trust(file []byte) error {
	certs, err := signing.ParsePEMCertificates(file)
	if err != nil {
		return err
	}
	d.signers = append(d.signers, certs...)
	return nil
}

// Held holds a report's file and its signature against the demand and gives its end.
// A report that has ended, and is as it should be otherwise, gives an *ExpiredError,
// too.
func (d *Demand) Held(file, signature []byte, now time.Time) (until time.Time, err error) {
	if len(d.signers) == 0 {
		return until, &sentence{"nobody is named who may sign the report", "не назван никто, кто может подписать отчёт"}
	}
	b, err := Verify(file, signature, d.signers, now)
	var over *ExpiredError
	if err != nil && !errors.As(err, &over) {
		return until, err
	}
	if b.Kind != Party {
		return until, &sentence{"the report is about a bus, one about a party is needed", "отчёт о шине, а нужен отчёт об участнике"}
	}
	if m := b.Subject.Mnemonic; m != "" && d.Mnemonic != "" && m != d.Mnemonic {
		return until, &sentence{"the report is about another party: " + m, "отчёт о другом участнике: " + m}
	}
	if !slices.ContainsFunc(b.Subject.Certificates, func(c string) bool { return slices.Contains(d.Certificates, c) }) {
		all := strings.Join(b.Subject.Certificates, ", ")
		return until, &sentence{"the report is about certificates that are not the party's: " + all, "отчёт о сертификатах, которых у участника нет: " + all}
	}
	for _, role := range d.Roles {
		if !slices.Contains(b.Subject.Roles, role) {
			return until, &sentence{"the party was not tried as " + role, "участник не испытан в роли: " + roleRussian[role]}
		}
	}
	if unfit := b.Unfit(); unfit != nil {
		return until, unfit
	}
	return b.ValidUntil, err
}

// sentence is an error that is told to people in two languages.
type sentence struct{ english, russian string }

func (s *sentence) Error() string { return s.english }

// Russian is the sentence in Russian.
func (s *sentence) Russian() string { return s.russian }
