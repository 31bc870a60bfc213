package papers

import (
	"fmt"
	"testing"
	"time"

	"mezhved/adapter/journal/audit"
	"mezhved/envelopes"
	"mezhved/signing"
)

// An envelope of 64 MB may have very many signed files with nothing in them: that it is
// looked through for each of them would take minutes.
func TestManyEmptyFiles(t *testing.T) {
	const many = 100_000
	verifier, err := signing.NewVerifier(signing.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := &prover{verifier: verifier, entry: &audit.EvidenceEntry{}}
	var headers []envelopes.AttachmentHeader
	var contents []envelopes.Attachment
	for i := range many {
		id := fmt.Sprint("a", i)
		headers = append(headers, envelopes.AttachmentHeader{ContentID: id, PKCS7: []byte("none")})
		contents = append(contents, envelopes.Attachment{ID: id})
	}
	began := time.Now()
	p.files(make([]byte, 64<<20), headers, nil, contents, nil)
	if took := time.Since(began); len(p.found) != many || p.found[many-1].Err == nil || took > 20*time.Second {
		t.Errorf("%d files in %s", len(p.found), took)
	}
}
