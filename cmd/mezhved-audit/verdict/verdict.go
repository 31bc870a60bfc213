// Package verdict is what mezhved-audit says of a bundle: at the terminal and, the
// same code compiled for the browser, on its page. It may be entered by these two.
package verdict

import (
	"fmt"
	"io"
	"strings"
	"time"

	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/papers"
	"mezhved/signing"
)

// Verdict is what was found out about a bundle that is the log's.
type Verdict struct {
	Evidence   *audit.Evidence
	Signatures []papers.Signature
	Stamp      *signing.Timestamp // nil when the bundle has none

	Hold      int // signatures that hold
	Bad       int // that do not: one is enough for "not verified"
	Refused   int // that do not, of calls that were refused
	Absent    int // that could not be looked at
	Unpathed  int // of Hold: whose certificates those are was not looked at
	Unchecked int // of Hold: with a path, and nothing says whether it was revoked
	Unbussed  int // of Hold: made as the bus, and not held against its certificates

	StampUnpathed bool // whose the time stamp is was not looked at
}

// Reach proves the signatures and the time stamp of a bundle whose entries are
// proved. Without anchors, or time-stamping authorities, paths are not looked at. The
// error is about the time stamp: it proves nothing.
func Reach(e *audit.Evidence, anchors *papers.Anchors, tsa []*signing.Certificate) (*Verdict, error) {
	v := &Verdict{Evidence: e, StampUnpathed: e.Stamp != nil && len(tsa) == 0}
	var err error
	if v.Signatures, err = papers.Signatures(e, anchors); err != nil {
		return nil, err
	}
	if e.Stamp != nil {
		if v.Stamp, err = papers.Timestamp(e.Stamp, tsa); err != nil {
			return nil, fmt.Errorf("NOT verified: the time stamp over the log of %d entries: %w", e.Stamp.Checkpoint.Tree.N, err)
		}
	}
	for i := range v.Signatures {
		switch x := &v.Signatures[i]; {
		case x.Absent != nil:
			v.Absent++
		case x.Bad():
			v.Bad++
		case x.Err != nil:
			v.Refused++
		default:
			v.Hold++
			if strings.HasSuffix(x.Of, papers.OfBus) && len(anchors.Bus) == 0 {
				v.Unbussed++
			}
			if x.Path == nil {
				v.Unpathed++
			} else if x.Unchecked != nil {
				v.Unchecked++
			}
		}
	}
	return v, nil
}

// Tell writes the verdict on a bundle under a policy, by their names.
func (v *Verdict) Tell(w io.Writer, bundle, policy string) {
	e := v.Evidence
	switch {
	case v.Bad > 0:
		Say(w, "%s: NOT verified: the entries are the log's, and %d of the signatures in their envelopes do not hold\n", bundle, v.Bad)
	case e.Pinned:
		Say(w, "%s: VERIFIED under %s\n", bundle, policy)
	default:
		Say(w, "%s: agrees with itself, but the policy is the bundle's own: whoever made the bundle chose the keys. Verify again with --policy and a file from the audit body.\n", bundle)
	}
	Say(w, "log        %s, %d entries, root %s\n", e.Checkpoint.Origin, e.Checkpoint.Tree.N, e.Checkpoint.Tree.Hash)
	if !e.Checkpoint.Signed.IsZero() {
		Say(w, "signed     %s\n", e.Checkpoint.Signed.Format(time.RFC3339))
	}
	if v.Stamp != nil {
		by := v.Stamp.Certificate().Subject()
		if v.StampUnpathed {
			by += ", whose certificate was not looked at (--tsa)"
		}
		Say(w, "time stamp the first %d entries of the log, these among them, were there at %s, by %s\n", e.Stamp.Checkpoint.Tree.N, v.Stamp.Time().Format(time.RFC3339), by)
	}
	if e.Unstamped != nil {
		Say(w, "time stamp one is enclosed and was not looked at: %s\n", e.Unstamped)
	}
	Say(w, "asked for  %s\nmade       %s, entry %d of the log tells of it\n", e.Title, e.Created.Format(time.RFC3339), e.Export.Index)
	signatures := v.Signatures
	for _, x := range e.Entries {
		l := x.Leaf
		Say(w, "entry %-10d %s  %-13s %s -> %s  %s %s %s\n", x.Index, l.Time.Format("2006-01-02 15:04:05.000"), l.Kind, dash(l.Sender), dash(l.Recipient), dash(l.Service), l.Outcome, l.MessageID)
		for _, o := range x.Openings {
			Say(w, "      %s = %s\n", o.Field, o.Value)
		}
		if x.Envelope != nil {
			Say(w, "      envelope of %d bytes, as the entry commits to it\n", len(x.Envelope))
		}
		for len(signatures) > 0 && signatures[0].Index == x.Index {
			tellSignature(w, &signatures[0])
			signatures = signatures[1:]
		}
	}
	for _, g := range e.Gaps {
		Say(w, "note: %s\n", g)
	}
	if v.Unpathed > 0 {
		Say(w, "note: %d signatures hold under the certificates that they bring along; whose those are was not looked at: name the authorities that you trust with --anchors\n", v.Unpathed)
	}
	if v.Unbussed > 0 {
		Say(w, "note: %d signatures are made as the bus; that they are its own was not looked at: name its certificates with --bus\n", v.Unbussed)
	}
	if v.Unchecked > 0 {
		Say(w, "note: of the certificates of %d signatures nothing in the bundle says whether they were revoked then\n", v.Unchecked)
	}
}

// tellSignature says what was found out about one signature.
func tellSignature(w io.Writer, x *papers.Signature) {
	who := "-"
	if x.Certificate != nil {
		who = fmt.Sprintf("%s (%.16s…)", x.Certificate.Subject(), x.Certificate.Fingerprint())
	}
	switch {
	case x.Absent != nil:
		Say(w, "      signature of %s: not looked at: %v\n", x.Of, x.Absent)
		return
	case x.Bad():
		Say(w, "      FINDING: signature of %s, %s, does not hold: %v\n", x.Of, who, x.Err)
		return
	case x.Err != nil:
		Say(w, "      signature of %s, %s, does not hold, and the call was refused: %v\n", x.Of, who, x.Err)
		return
	}
	Say(w, "      signature of %s holds: %s\n", x.Of, who)
	if !x.Asked.IsZero() {
		Say(w, "            asked at %s, by its own word\n", x.Asked.UTC().Format(time.RFC3339))
	}
	if x.Path != nil {
		Say(w, "            valid then, by %s\n", x.Path[len(x.Path)-1].Subject())
	}
	if x.Timestamp != nil {
		Say(w, "            there at %s by the time stamp of %s\n", x.Timestamp.Time().Format(time.RFC3339), x.Timestamp.Certificate().Subject())
	}
	for _, a := range x.Revocation {
		Say(w, "            not revoked, by the %s of %s\n", strings.ToUpper(a.Kind), a.ThisUpdate.UTC().Format(time.RFC3339))
	}
	if x.Unchecked != nil {
		Say(w, "            whether it was revoked is not said: %v\n", x.Unchecked)
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
