package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"mezhved/adapter/party"
)

// An unanswered call is on the disk from before it is sent until its answer is
// known, so that the same call made again is the same message to the bus: it takes
// the MessageID of the one whose answer was lost. The file lies beside the call's
// input, or, where that cannot be written, among the user's own state. It is
// locked while the call lasts: a like call made meanwhile is a message of its own.
type unanswered struct {
	MessageID string
	Since     time.Time // of the earlier call; zero when there was none
	file      *os.File  // nil when it could be kept nowhere
}

// rememberCall finds the unanswered call that what describes, or begins a new one
// with the given MessageID. beside is the call's input, if that is a file.
func rememberCall(beside, id string, what ...[]byte) *unanswered {
	h := sha256.New()
	for _, part := range what {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	name := func() string { return "unanswered-" + hex.EncodeToString(h.Sum(nil)[:8]) }
	places := []string{}
	if beside != "" && beside != "-" {
		places = append(places, beside+"."+name())
		if whole, err := filepath.Abs(beside); err == nil {
			h.Write([]byte(whole)) // another file with the same content is another call
		}
	}
	state := os.Getenv("XDG_STATE_HOME")
	if home, err := os.UserHomeDir(); state == "" && err == nil {
		state = filepath.Join(home, ".local", "state")
	}
	if filepath.IsAbs(state) {
		places = append(places, filepath.Join(state, "mezhved", name()))
	}
	// One that was left anywhere comes before a new one.
	for _, place := range places {
		for number := range likeCalls {
			if u, err := openUnanswered(place, number, "", os.O_RDWR); err == nil {
				return u
			}
		}
	}
	if len(places) > 1 && ofVersion(beside) {
		places = places[1:]
	}
	for i, place := range places {
		if i == len(places)-1 {
			os.MkdirAll(filepath.Dir(place), 0o700) // or opening says so
		}
		for number := range likeCalls {
			if u, err := openUnanswered(place, number, id, os.O_RDWR|os.O_CREATE); err == nil {
				return u
			}
		}
	}
	return &unanswered{MessageID: id}
}

// ofVersion says whether the file is of a service's version, such as a sample: there a
// file that appears takes the version back to the stage test (its protocol lists them).
func ofVersion(file string) bool {
	dir, err := filepath.Abs(file)
	for range 3 { // VERSION/samples/invalid/FILE, VERSION/reference/CASE/FILE
		dir = filepath.Dir(dir)
		if _, missing := os.Stat(filepath.Join(dir, "service.yaml")); err == nil && missing == nil {
			return true
		}
	}
	return false
}

// likeCalls is how many calls alike may be made at once and yet be remembered.
const likeCalls = 16

// openUnanswered takes a file that nobody else has: one that was left behind, or
// with an id a new one.
func openUnanswered(place string, number int, id string, flag int) (*unanswered, error) {
	if number > 0 {
		place += fmt.Sprintf("-%d", number+1)
	}
	f, err := os.OpenFile(place, flag, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	u := &unanswered{file: f}
	// Between opening and locking, its call may have been answered.
	there, err := os.Stat(place)
	if here, err2 := f.Stat(); err != nil || err2 != nil || !os.SameFile(there, here) {
		f.Close()
		return nil, errors.Join(err, err2, os.ErrNotExist)
	}
	if err := u.read(); err == nil {
		return u, nil
	}
	// It is new, or its call was killed before anything was sent.
	if id == "" {
		u.forget()
		return nil, os.ErrNotExist
	}
	u.MessageID = id
	if err := u.write(); err != nil {
		u.forget()
		return nil, err
	}
	return u, nil
}

const unansweredText = "\nThis call was sent and its answer is not known. The same call takes the MessageID above again, and the bus takes it once.\n"

func (u *unanswered) read() error {
	b, err := io.ReadAll(io.LimitReader(u.file, 1<<10))
	if err != nil {
		return err
	}
	id, rest, _ := strings.Cut(string(b), "\n")
	info, err := u.file.Stat()
	if err != nil || "\n"+rest != unansweredText || !party.IsMessageID(id) {
		return errors.Join(err, errors.New("not whole"))
	}
	u.MessageID, u.Since = id, info.ModTime()
	return nil
}

// write puts the id on the disk. Nothing is sent before.
func (u *unanswered) write() error {
	if err := u.file.Truncate(0); err != nil {
		return err
	}
	if _, err := u.file.WriteAt([]byte(u.MessageID+unansweredText), 0); err != nil {
		return err
	}
	return errors.Join(u.file.Sync(), syncFolder(filepath.Dir(u.file.Name())))
}

// ended ends a call that was answered with err, and its memory when its fate is
// known. It says what to do when it is not.
func (u *unanswered) ended(out *stdio, asJSON bool, what string, err error) error {
	var fault *party.FaultError
	var unsent *party.UnsentError
	refused, nowhere := errors.As(err, &fault) && !fault.Retry(), errors.As(err, &unsent)
	known := err == nil || refused || nowhere && u.Since.IsZero()
	if known {
		u.forget()
	} else if u.file != nil {
		u.file.Close()
	}
	switch {
	case err == nil:
		return nil
	case unsignable(err):
		return usage(fmt.Errorf("%w; nothing has been sent", err))
	case !known:
		err = fmt.Errorf("%w\n%s", err, u.told(what))
	}
	return failed(out, asJSON, err)
}

// forget ends the memory of the call.
func (u *unanswered) forget() {
	if u.file != nil {
		os.Remove(u.file.Name())
		u.file.Close()
	}
}

// begun tells a person that the call is one made before.
func (u *unanswered) begun(out *stdio) {
	if !u.Since.IsZero() {
		fmt.Fprintf(out.err, "mezhved: the same call was made at %s and its answer is not known: it is repeated as %s (kept in %s)\n",
			u.Since.Format(time.RFC3339), u.MessageID, u.file.Name())
	}
}

// told says what to do when the answer is still not known.
func (u *unanswered) told(what string) string {
	switch {
	case u.file != nil:
		return fmt.Sprintf("The %s may have arrived. Make the same call again: the bus takes it once (its MessageID %s is kept in %s)", what, u.MessageID, u.file.Name())
	case what == acknowledgement:
		return "The acknowledgement may have arrived: made again, TargetMessageIsNotFound says so"
	}
	return fmt.Sprintf("The %s may have arrived. Send it again with --id %s: the bus takes it once", what, u.MessageID)
}

const acknowledgement = "acknowledgement"
