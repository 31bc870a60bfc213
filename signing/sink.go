package signing

import "io"

// sink gathers the small pieces that an emitter writes and hands them on in
// blocks; large pieces go past the buffer. The first error of the writer stays.
type sink struct {
	w   io.Writer
	buf []byte
	n   int // bytes handed on
	err error

	// src[from:to] is to be written as it is. It waits because most often what
	// follows in the source is to be written as it is too. Whoever writes to buf
	// calls release first.
	src      []byte
	from, to int
}

const (
	sinkBlock  = 8 << 10 // handed on when this full
	sinkDirect = 2 << 10 // pieces from this size are not copied
)

func (s *sink) reset(w io.Writer, src []byte) {
	s.w, s.n, s.err = w, 0, nil
	s.src, s.from, s.to = src, 0, 0
	if s.buf == nil {
		s.buf = make([]byte, 0, sinkBlock+sinkDirect)
	}
	s.buf = s.buf[:0]
}

// piece writes bytes that belong to somebody else and stay valid only for the call.
func (s *sink) piece(p []byte) {
	if len(p) >= sinkDirect {
		s.flush()
		s.write(p)
		return
	}
	s.buf = append(s.buf, p...)
}

// keep notes that src[from:to] is to be written as it is.
func (s *sink) keep(from, to int) {
	if from != s.to {
		s.release()
		s.from = from
	}
	s.to = to
}

// release writes what has been kept.
func (s *sink) release() {
	if k, kept := len(s.buf), s.to-s.from; kept == 0 {
		return
	} else if kept <= short && s.from+short <= len(s.src) && k+short <= cap(s.buf) {
		copyShort((*[short]byte)(s.buf[k:k+short]), (*[short]byte)(s.src[s.from:]), kept)
		s.buf = s.buf[:k+kept]
	} else {
		s.piece(s.src[s.from:s.to])
		s.room()
	}
	s.from = s.to
}

// tag writes what has been kept and the beginning of a tag, n bytes of it, and
// keeps src[from:to].
func (s *sink) tag(begin *[16]byte, n, from, to int) {
	k, kept := len(s.buf), s.to-s.from
	if kept > short || s.from+short > len(s.src) || k+short+16 > cap(s.buf) {
		s.release()
		s.piece(begin[:n])
		s.room()
	} else {
		dst := (*[short + 16]byte)(s.buf[k : k+short+16])
		copyShort((*[short]byte)(dst[:]), (*[short]byte)(s.src[s.from:]), kept)
		*(*[16]byte)(dst[kept:]) = *begin
		s.buf = s.buf[:k+kept+n]
	}
	s.from, s.to = from, to
}

// byte writes a byte that does not stand in the source, which goes on at a place.
func (s *sink) byte(c byte, at int) {
	s.release()
	s.buf = append(s.buf, c)
	s.room()
	s.from, s.to = at, at
}

// short is how much is copied without a call and whatever the length: a name and
// a short value are shorter. The surplus is overwritten by what comes next.
const short = 64

// copyShort copies n bytes, and more, in the widest moves that the compiler knows.
func copyShort(dst, src *[short]byte, n int) {
	*(*[16]byte)(dst[:]) = *(*[16]byte)(src[:])
	*(*[16]byte)(dst[16:]) = *(*[16]byte)(src[16:])
	if n > short/2 {
		*(*[16]byte)(dst[32:]) = *(*[16]byte)(src[32:])
		*(*[16]byte)(dst[48:]) = *(*[16]byte)(src[48:])
	}
}

// room hands on a full buffer; emitters call it once a token.
func (s *sink) room() {
	if len(s.buf) >= sinkBlock {
		s.flush()
	}
}

func (s *sink) flush() {
	if len(s.buf) > 0 {
		s.write(s.buf)
		s.buf = s.buf[:0]
	}
}

func (s *sink) write(p []byte) {
	if s.err != nil {
		return
	}
	s.n += len(p)
	_, s.err = s.w.Write(p)
}

// total counts the bytes written, those in the buffer and those kept included.
func (s *sink) total() int { return s.n + len(s.buf) + s.to - s.from }

// close hands on the rest and drops writer and source.
func (s *sink) close() error {
	s.release()
	s.flush()
	s.w, s.src = nil, nil
	return s.err
}
