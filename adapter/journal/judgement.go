package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// maxJudgement bounds a list of answers: the certificates of one call have chains,
// and a message has signatures of officials and of files beside its sender's.
const maxJudgement = 1 << 20

// Judgement is what a leaf's "revocation" says of the answers, given by their
// SHA-256, by which the certificates of a call were judged, the one about the
// caller's own first: the hex SHA-256 of a single one, else that of list. list has
// a line for each, hex SHA-256 and LF; it is nil where a single one, or none,
// decided.
func Judgement(answers [][32]byte) (name string, list []byte) {
	switch len(answers) {
	case 0:
		return "", nil
	case 1:
		return hex.EncodeToString(answers[0][:]), nil
	}
	for _, a := range answers {
		list = append(hex.AppendEncode(list, a[:]), '\n')
	}
	sum := sha256.Sum256(list)
	return hex.EncodeToString(sum[:]), list
}

// ParseJudgement reads a list that Judgement made: two or more digests, none twice,
// in the one spelling.
func ParseJudgement(list []byte) ([][32]byte, error) {
	if len(list) == 0 || len(list) > maxJudgement || list[len(list)-1] != '\n' {
		return nil, errors.New("a list of answers about revocation has a digest in each line, and ends in LF")
	}
	lines := bytes.Split(list[:len(list)-1], []byte{'\n'})
	answers, seen := make([][32]byte, len(lines)), map[[32]byte]bool{}
	for i, line := range lines {
		n, err := hex.Decode(answers[i][:], line[:min(len(line), 64)])
		if err != nil || n != 32 || len(line) != 64 || bytes.ContainsAny(line, "ABCDEF") || seen[answers[i]] {
			return nil, fmt.Errorf("list of answers about revocation, line %d: not the hex SHA-256 of one more answer", i+1)
		}
		seen[answers[i]] = true
	}
	if len(answers) < 2 {
		return nil, errors.New("a single answer about revocation is named by itself, not by a list")
	}
	return answers, nil
}
