package adapter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
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
	// Find gives those of the files that have been brought whole and whose bytes
	// are on the disk; the others are not in the answer.
	Find(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]File, error)

	// Read gives the bytes of a file that Find has found.
	Read(ctx context.Context, id uuid.UUID) (io.ReadCloser, error)

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

// FilePart is what the index knows of one part of an upload that is not complete.
type FilePart struct {
	File   uuid.UUID
	Upload string // secret
	N      int    // 0: the upload itself, which has no bytes
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
// message, and cannot be changed. ErrFileGone says that a file that a message refers to is
// not there any more, or is not what it was.
var (
	ErrFileTaken = errors.New("there is a file already, of another session or of a message: bring this one under another UUID")
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
