package backup

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"io"
)

// Bounds of a piece, in bytes.
const (
	least   = 256 << 10
	most    = 4 << 20
	average = 1 << 20 // beyond least: a power of two
)

// cutter cuts a stream into pieces where the 64 bytes before the cut say so (a gear
// hash), so that what stands in the stream again, at another place, is cut in the same
// places. The table is secret: sizes of pieces tell nothing of known texts.
type cutter struct {
	r     io.Reader
	gear  *[256]uint64
	buf   []byte
	start int // of what is not handed out yet
	end   bool
}

func gearOf(key []byte) *[256]uint64 {
	g := new([256]uint64)
	for i := range g {
		m := hmac.New(sha256.New, key)
		m.Write([]byte{'g', 'e', 'a', 'r', byte(i)})
		g[i] = binary.BigEndian.Uint64(m.Sum(nil))
	}
	return g
}

func newCutter(r io.Reader, gear *[256]uint64) *cutter {
	return &cutter{r: r, gear: gear, buf: make([]byte, 0, 2*most)}
}

// next gives the next piece, which is the caller's; io.EOF after the last. An empty
// stream has none.
func (c *cutter) next() ([]byte, error) {
	for !c.end && len(c.buf)-c.start < most {
		if c.start > 0 {
			c.buf, c.start = c.buf[:copy(c.buf, c.buf[c.start:])], 0
		}
		n, err := c.r.Read(c.buf[len(c.buf):cap(c.buf)])
		c.buf = c.buf[:len(c.buf)+n]
		if err == io.EOF {
			c.end = true
		} else if err != nil {
			return nil, err
		}
	}
	left := c.buf[c.start:]
	if len(left) == 0 {
		return nil, io.EOF
	}
	n := c.cut(left[:min(len(left), most)])
	c.start += n
	return append([]byte(nil), left[:n]...), nil
}

func (c *cutter) cut(b []byte) int {
	var h uint64
	const mask = uint64(average-1) << 44 // high bits depend on 64 bytes
	for i := max(0, least-64); i < len(b); i++ {
		if h = h<<1 + c.gear[b[i]]; i >= least && h&mask == 0 {
			return i + 1
		}
	}
	return len(b)
}
