package signing

import (
	"errors"
	"io"

	"mezhved/envelopes/xmltape"
)

// How many times as large as an element its octets may be, beside a room that every element
// has. Canonical XML repeats a namespace at each element that needs it and stands in none that
// has it: a name of 1,000 bytes beside a million elements of six bytes makes a gigabyte of
// them. What people write grows tenfold at the very most.
const (
	verifiedGrowth  = 16 // they are hashed
	explainedGrowth = 4  // they are kept in memory, in several forms
	everyGrowth     = 1 << 20
)

var errGrown = errors.New("the octets are many times as large as the element")

// bounded hands on what fits, and fails with errGrown from there on.
type bounded struct {
	w    io.Writer
	left int
}

// boundFor is a writer for the octets of an element.
func boundFor(w io.Writer, element xmltape.Node, growth int) bounded {
	off, end := element.Range()
	return bounded{w, growth*(end-off) + everyGrowth}
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errGrown
	}
	return b.w.Write(p)
}

// grown says at which element a writer has failed with errGrown; other errors stay as they are.
func grown(err error, element xmltape.Node) error {
	if err == errGrown {
		return refuse(Unsignable, element, "its canonical form is more than %d times as large as the element", verifiedGrowth)
	}
	return err
}
