package signing

import "io"

// sink gathers the small pieces that an emitter writes and hands them on in
// blocks; large pieces go past the buffer. The first error of the writer stays.
type sink struct {
	w   io.Writer
	buf []byte
	n   int // bytes handed on
	err error
}

const (
	sinkBlock  = 8 << 10 // handed on when this full
	sinkDirect = 2 << 10 // pieces from this size are not copied
)

func (s *sink) reset(w io.Writer) {
	s.w, s.n, s.err = w, 0, nil
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

// total counts the bytes written, those in the buffer included.
func (s *sink) total() int { return s.n + len(s.buf) }

// close hands on the rest and drops the writer.
func (s *sink) close() error {
	s.flush()
	s.w = nil
	return s.err
}
