package main

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// wire is a connection in the clear. Its system calls do not block, so the scheduler is
// not told of them: on a machine that is all at work it would take most of them for calls
// that do, and wake another thread to go on, which was a fifth of the generator's time.
type wire struct {
	*net.TCPConn
	raw         syscall.RawConn
	read, write func(fd uintptr) bool

	// Of the call that is made.
	room  []byte
	n     int
	errno syscall.Errno
}

func newWire(conn *net.TCPConn) (*wire, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	w := &wire{TCPConn: conn, raw: raw}
	w.read = func(fd uintptr) bool { return w.call(syscall.SYS_READ, fd) }
	w.write = func(fd uintptr) bool { return w.call(syscall.SYS_WRITE, fd) }
	return w, nil
}

// call makes a system call; false: it would have to wait.
func (w *wire) call(what, fd uintptr) bool {
	for {
		n, _, errno := syscall.RawSyscall(what, fd, uintptr(unsafe.Pointer(unsafe.SliceData(w.room))), uintptr(len(w.room)))
		if w.n, w.errno = int(n), errno; errno != syscall.EINTR {
			return errno != syscall.EAGAIN
		}
	}
}

// Read is io.Reader's.
func (w *wire) Read(p []byte) (int, error) {
	w.room = p
	err := w.raw.Read(w.read)
	switch {
	case err != nil || w.errno != 0:
		return 0, w.failed("read", err)
	case w.n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return w.n, nil
}

// Write is io.Writer's.
func (w *wire) Write(p []byte) (done int, err error) {
	for done < len(p) {
		w.room = p[done:]
		if err := w.raw.Write(w.write); err != nil || w.errno != 0 {
			return done, w.failed("write", err)
		}
		done += w.n
	}
	return done, nil
}

// failed is what net would say, but for our own address, which differs in each connection.
func (w *wire) failed(op string, err error) error {
	var of *net.OpError
	if errors.As(err, &of) { // a raw call's
		err = of.Err
	}
	if err == nil {
		err = os.NewSyscallError(op, w.errno)
	}
	return &net.OpError{Op: op, Net: "tcp", Addr: w.RemoteAddr(), Err: err}
}
