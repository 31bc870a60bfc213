package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"mezhved/adapter/party"
)

// A messageFolder is the folder of a message that was polled. It appears when
// everything in it is on the disk; until then it is built beside.
type messageFolder struct{ name, unfinished string }

// newMessageFolder begins the folder of a message in dir. The folder's name is the
// MessageID, which comes from the bus: what is none is a name that cannot lead
// anywhere else.
func newMessageFolder(dir, id string) (*messageFolder, error) {
	name := id
	if !party.IsMessageID(id) {
		name = fmt.Sprintf("no-message-id-%x", sha256.Sum256([]byte(id)))[:30]
	}
	f := &messageFolder{filepath.Join(dir, name), filepath.Join(dir, ".unfinished-"+name)}
	if err := os.RemoveAll(f.unfinished); err != nil { // of a call that was killed
		return nil, err
	}
	return f, os.MkdirAll(f.unfinished, 0o755)
}

// fill writes what came with the message itself.
func (f *messageFolder) fill(m *party.Message) error {
	j := messageOf(m)
	files := map[string][]byte{"envelope.xml": m.XML}
	if j.Content != "" {
		files["content.xml"] = []byte(j.Content)
	}
	if j.ReplyTo != "" {
		files["replyto.txt"] = []byte(j.ReplyTo)
	}
	for i, a := range m.Attachments {
		files[fmt.Sprintf("attachment-%d", i+1)] = a.Content
	}
	for name, content := range files {
		if err := writeSynced(filepath.Join(f.unfinished, name), content); err != nil {
			return err
		}
	}
	return nil
}

// commit gives the folder its name. A message that comes again finds the folder of
// the first time, whole, and perhaps with files of its owner's: then each file takes
// the place of the old one.
func (f *messageFolder) commit() error {
	if err := syncFolders(f.unfinished); err != nil {
		return err
	}
	err := os.Rename(f.unfinished, f.name)
	if info, there := os.Stat(f.name); err != nil && there == nil && info.IsDir() {
		err = f.replace()
	}
	return errors.Join(err, syncFolder(filepath.Dir(f.name)))
}

func (f *messageFolder) replace() error {
	err := filepath.WalkDir(f.unfinished, func(path string, e fs.DirEntry, err error) error {
		inside, err2 := filepath.Rel(f.unfinished, path)
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(f.name, inside), 0o755)
		}
		return os.Rename(path, filepath.Join(f.name, inside))
	})
	return errors.Join(err, syncFolders(f.name))
}

// abandon removes what has no name yet.
func (f *messageFolder) abandon() { os.RemoveAll(f.unfinished) }

func writeSynced(name string, content []byte) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncFolders puts the names in a folder, and in those in it, on the disk.
func syncFolders(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return syncFolder(path)
	})
}

// syncFolder puts the names in a folder on the disk.
func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
