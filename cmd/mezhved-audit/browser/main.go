//go:build js && wasm

// Command browser is mezhved-audit verify for its page, as WebAssembly. It gives the
// page one function,
//
//	mezhvedVerify(bundle Uint8Array, policy, anchors, issuers, tsa string) string
//
// with certificates as PEM and JSON for an answer; everything in it is proved by the
// code of the program at the terminal.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"syscall/js"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/papers"
	"mezhved/cmd/mezhved-audit/verdict"
	"mezhved/signing"
)

// answer is what the page is told.
type answer struct {
	Error  string `json:"error,omitempty"` // why nothing else is said
	Pinned bool   `json:"pinned"`          // the policy is not the bundle's own

	Hold      int    `json:"hold"` // as in verdict.Verdict
	Bad       int    `json:"bad"`
	Refused   int    `json:"refused"`
	Absent    int    `json:"absent"`
	Unpathed  int    `json:"unpathed"`
	Unchecked int    `json:"unchecked"`
	Stamped   string `json:"stamped,omitempty"` // when, and by whom, as the time stamp says

	StampUnpathed bool   `json:"stampUnpathed"`
	Unstamped     string `json:"unstamped,omitempty"` // why a time stamp that is enclosed was not looked at
	Text          string `json:"text,omitempty"`      // what the program says at a terminal
}

func main() {
	js.Global().Set("mezhvedVerify", js.FuncOf(func(_ js.Value, args []js.Value) any {
		bundle := make([]byte, args[0].Length())
		js.CopyBytesToGo(bundle, args[0])
		a, err := verify(bundle, args[1].String(), args[2].String(), args[3].String(), args[4].String())
		if err != nil {
			a = &answer{Error: verdict.Visible(err.Error())}
		}
		text, err := json.Marshal(a)
		if err != nil {
			panic(err) // the struct above is wrong
		}
		return string(text)
	}))
	select {} // the function is there as long as the page is
}

func verify(bundle []byte, policyText, anchorsPEM, issuersPEM, tsaPEM string) (*answer, error) {
	var policy *journal.Policy
	var err error
	if strings.TrimSpace(policyText) != "" {
		if policy, err = journal.ParsePolicy([]byte(policyText)); err != nil {
			return nil, fmt.Errorf("the policy cannot be used: %w", err)
		}
	}
	lists := map[string][]*signing.Certificate{}
	for what, text := range map[string]string{"anchors": anchorsPEM, "issuers": issuersPEM, "tsa": tsaPEM} {
		if text == "" {
			continue
		}
		if lists[what], err = signing.ParsePEMCertificates([]byte(text)); err != nil {
			return nil, fmt.Errorf("the certificates chosen as %s cannot be used: %w", what, err)
		}
	}
	e, err := audit.VerifyBundle(bytes.NewReader(bundle), int64(len(bundle)), policy)
	if err != nil {
		return nil, err
	}
	v, err := verdict.Reach(e, &papers.Anchors{Roots: lists["anchors"], Intermediates: lists["issuers"]}, lists["tsa"])
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	v.Tell(&text, "bundle", "the policy given")
	a := &answer{Pinned: e.Pinned, Hold: v.Hold, Bad: v.Bad, Refused: v.Refused, Absent: v.Absent, Unpathed: v.Unpathed, Unchecked: v.Unchecked, StampUnpathed: v.StampUnpathed, Text: text.String()}
	if v.Stamp != nil {
		a.Stamped = v.Stamp.Time().UTC().Format("2006-01-02 15:04:05 UTC") + ", " + verdict.Visible(v.Stamp.Certificate().Subject())
	}
	if e.Unstamped != nil {
		a.Unstamped = e.Unstamped.Error()
	}
	return a, nil
}
