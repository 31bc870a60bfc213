package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"mezhved/adapter/lifecycle/conform/paper"
	"mezhved/adapter/yamlfile"
)

// conformanceFile is what a registration demands of its party: a report of
// mezhved conform party that shows it fit.
type conformanceFile struct {
	Required bool     `yaml:"required"`
	Report   string   `yaml:"report"`  // beside the party's file, its signature (.p7s) beside it; default <mnemonic>.conform.json
	Signers  []string `yaml:"signers"` // certificates with which it may be signed; needed
	Roles    []string `yaml:"roles"`   // that it must have been tried in: consumer, provider; default: any
}

// readConformance holds a party's report against what its registration demands.
// One that is missing, was not signed by whom the registration names, is about
// somebody else, or shows nobody fit, refuses the set. One that has ended is told:
// a node must not stand still, nor an order to it wait, because a partner's paper ran
// out; lint takes it for an error.
func (r *catalogReader) readConformance(f *yamlfile.File, p *Party, dir, base string, in *conformanceFile) {
	if in == nil || !in.Required {
		return
	}
	name := in.Report
	if name == "" {
		name = base + ".conform.json"
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	demand := paper.Demand{Mnemonic: string(p.Mnemonic), Roles: in.Roles}
	for _, c := range p.Certificates {
		demand.Certificates = append(demand.Certificates, hex.EncodeToString(c.SHA256[:]))
	}
	for i, role := range in.Roles {
		if role != "consumer" && role != "provider" {
			f.Errorf(fmt.Sprintf("conformance.roles.%d", i), "consumer or provider is expected, not %q", role)
			return
		}
	}
	if len(in.Signers) == 0 {
		f.Errorf("conformance.signers", "name the certificates with which the report may be signed: anybody can make one and sign it")
		return
	}
	for i, one := range in.Signers {
		file := one
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, one)
		}
		src, err := os.ReadFile(file)
		if err == nil {
			err = demand.Trust(src)
		}
		if err != nil {
			f.Errorf(fmt.Sprintf("conformance.signers.%d", i), "%v", err)
			return
		}
		r.digest(filepath.Base(file), src)
	}
	report, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		f.Errorf("conformance.report", "%s is missing: the party has to be tried with mezhved conform party, and the report laid here with its signature (.p7s)", filepath.Base(name))
		return
	}
	signature := []byte(nil)
	if err == nil {
		signature, err = os.ReadFile(name + ".p7s")
	}
	if err != nil {
		f.Errorf("conformance.report", "%v", err)
		return
	}
	r.digest(filepath.Base(name), report)
	r.digest(filepath.Base(name)+".p7s", signature)
	until, err := demand.Held(report, signature, r.now)
	var over *paper.ExpiredError
	switch {
	case errors.As(err, &over) && r.samples:
		f.Errorf("conformance.report", "the report ended on %s: the party has to be tried again", over.At.UTC().Format(time.DateOnly))
	case errors.As(err, &over):
		f.Warnf("conformance.report", "the report ended on %s: the party has to be tried again", over.At.UTC().Format(time.DateOnly))
	case err != nil:
		f.Errorf("conformance.report", "%v", err)
		return
	case until.Sub(r.now) < 30*24*time.Hour:
		f.Warnf("conformance.report", "the report ends on %s: let the party be tried again before", until.UTC().Format(time.DateOnly))
	}
	p.FitUntil = until
	sum := sha256.Sum256(report)
	p.fitness = fmt.Sprintf("sha256:%x, until %s", sum, until.UTC().Format(time.DateOnly))
}
