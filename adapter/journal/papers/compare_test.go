package papers

import (
	"fmt"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
)

// A party may have a receipt of each of its messages, and bundles of all of them.
func TestManyReceiptsAndMuchEvidence(t *testing.T) {
	const many = 150_000
	r, f, e := &Report{}, &Folder{}, &audit.Evidence{}
	for i := range int64(many) {
		id, leaf := fmt.Sprint("m-", i), fmt.Append(nil, i)
		r.Held = append(r.Held, Held{Receipt: Receipt{Promises: journal.KindAccepted, MessageID: id}, Index: i, leaf: journal.LeafHash(leaf)})
		e.Entries = append(e.Entries, audit.EvidenceEntry{Proven: journal.Proven{Index: i, Bytes: leaf}, Openings: []journal.Opening{{Field: journal.FieldDigest, Value: id}}})
		f.Sent = append(f.Sent, Sent{MessageID: id, Digest: id})
	}
	f.Evidence = append(f.Evidence, e)
	began := time.Now()
	r.compare(f)
	if took := time.Since(began); r.Compared != many || len(r.Unlike) != 0 || r.Unopened != 0 || took > 20*time.Second {
		t.Errorf("%d compared, %d unlike, %d unopened in %s", r.Compared, len(r.Unlike), r.Unopened, took)
	}
}
