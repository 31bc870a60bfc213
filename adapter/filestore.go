package adapter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// FileStore keeps the files that are too large to travel in messages: senders
// bring them through its own doors (FTP), messages refer to them by
// uuid and digest, recipients fetch them under accounts that a poll gives them.
// package files implements it. Which message holds which file is the Store's
// knowledge: Accept writes it down together with the message.
type FileStore interface {
	// Find gives of each folder the file that has the digest, else the latest one.
	// Found is what has been brought whole and whose bytes are on the disk; folders
	// that have none are not in the answer.
	Find(ctx context.Context, digests map[uuid.UUID][]byte) (map[uuid.UUID]File, error)

	// Read gives the bytes of a file that Find has found.
	Read(ctx context.Context, f File) (io.ReadCloser, error)

	// Held tells how many bytes of files wait in messages of the sender, and in
	// messages to that one of the recipients for whom most waits.
	Held(ctx context.Context, sender Mnemonic, to []Queue) (sent, waiting int64, err error)

	// Grant makes an account under which the reader of a delivered message can
	// fetch its files. It is durable on return and ends with the message's stay
	// in the queue. Each delivery has its own; earlier ones stay good.
	Grant(ctx context.Context, message uuid.UUID, to Queue) (user, password string, err error)
}

// File is a file of the file store.
type File struct {
	ID     uuid.UUID // the folder that its sender made for it: a UUID of version 1
	Entry  uuid.UUID // itself; several files may have been brought into one folder
	Name   string    // as its sender named it
	Size   int64
	GOST   [32]byte // GOST R 34.11-2012, 256 bits: what a message's Hash says
	SHA256 [32]byte
}

// FileEntry is what the index of the file store knows of a file.
type FileEntry struct {
	File
	Owner   string // whom it is counted to, until a message holds it
	Session string // who has brought it, and may change it until then; secret; empty: nobody
	Blob    string // name of its bytes in the folder on the disk; empty: nothing was brought yet
	Whole   bool   // false: its upload broke off, or has not begun
}

// Replaced is which entry of a folder gives way to what a session brings: what it
// has brought itself, else what is not whole of its owner, because a sender whose
// connection broke goes on in another session; -1 where the new file lies beside all
// that is there.
func Replaced(there []FileEntry, owner, session string) int {
	i := slices.IndexFunc(there, func(e FileEntry) bool { return e.Session == session && session != "" })
	if i < 0 {
		i = slices.IndexFunc(there, func(e FileEntry) bool { return !e.Whole && e.Owner == owner })
	}
	return i
}

// FilePart is what the index knows of one part of an upload that is not complete.
type FilePart struct {
	Folder uuid.UUID
	Upload string // secret
	Owner  string
	N      int // 0: the upload itself, which has no bytes
	Blob   string
	Size   int64
	SHA256 [32]byte
}

// FileUse is how full the file store is.
type FileUse struct {
	Files, Bytes           int64 // all
	OwnerFiles, OwnerBytes int64 // of one owner, in no message yet; uploads of parts count as files
}

// FileGrant is an account for the files of one delivered message.
type FileGrant struct {
	User    string
	Secret  [32]byte // SHA-256 of the password, which is random and long
	Message uuid.UUID
	Queue   Queue
	Until   time.Time
}

// ErrFileTaken says that a file was brought by another session or belongs to a
// message, and cannot be changed or deleted. ErrFileGone says that a file that a message refers to is
// not there any more, or is not what it was.
var (
	ErrFileTaken = errors.New("the file was brought by another session, or belongs to a message")
	ErrFileGone  = errors.New("the file is not there any more, or was replaced")
)

// FileNames gives the names under which a reader finds the files of one message
// side by side: their own, made different where two are the same.
func FileNames(files []File) []string {
	names, taken := make([]string, len(files)), map[string]bool{}
	for i, f := range files {
		name := f.Name
		for n := 2; taken[name]; n++ {
			ext := path.Ext(f.Name)
			name = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(f.Name, ext), n, ext)
		}
		names[i], taken[name] = name, true
	}
	return names
}
