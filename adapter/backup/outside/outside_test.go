package outside

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"mezhved/adapter/backup"
	"mezhved/adapter/journal"
)

// A bucket is a place like a folder: what is promised of one holds for the other.
func TestPlaces(t *testing.T) {
	memory := s3mem.New()
	if err := memory.CreateBucket("backups"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(memory).Server())
	defer server.Close()
	credentials := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(credentials, []byte("[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s3 := backup.S3Options{Endpoint: server.URL, Region: "us-east-1", Credentials: credentials}
	for _, address := range []string{t.TempDir(), "s3://backups", "s3://backups/body/mezhved/"} {
		t.Run(address, func(t *testing.T) {
			p, err := backup.Open(address, s3)
			if err != nil {
				t.Fatal(err)
			}
			place(t, p)
			whole(t, p)
		})
	}
	if _, err := backup.Open("ftp://backups", s3); err == nil {
		t.Error("a place of another kind is opened")
	}
}

func place(t *testing.T, p backup.Place) {
	ctx := t.Context()
	if _, err := p.Get(ctx, "objects/aa/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}
	var names []string
	for i := range 1200 { // more than a page of a listing
		names = append(names, fmt.Sprintf("objects/%02x/%04d", i%256, i))
		if err := p.Put(ctx, names[i], []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(p.Put(ctx, "objects.other", []byte("x")), p.Put(ctx, names[0], []byte("anew"))); err != nil {
		t.Fatal(err)
	}
	if got, err := p.Get(ctx, names[0]); err != nil || string(got) != "anew" {
		t.Errorf("%q, %v", got, err)
	}
	list := func() (found []string) {
		err := p.List(ctx, "objects/", func(name string, at time.Time) error {
			if time.Since(at) > time.Hour {
				t.Errorf("%s is of %s", name, at)
			}
			found = append(found, name)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		slices.Sort(found)
		return found
	}
	slices.Sort(names)
	if got := list(); !slices.Equal(got, names) {
		t.Errorf("%d are listed, want %d", len(got), len(names))
	}
	if err := p.Delete(ctx, append(slices.Clone(names), "objects/aa/none")); err != nil {
		t.Error(err)
	}
	if got := list(); len(got) > 0 {
		t.Errorf("%d are left", len(got))
	}
}

func whole(t *testing.T, p backup.Place) {
	ctx, dir := context.Background(), t.TempDir()
	identity, recipient, err := backup.NewIdentity()
	err = errors.Join(err, os.WriteFile(filepath.Join(dir, "identity"), []byte(identity), 0o600), os.WriteFile(filepath.Join(dir, "recipient"), []byte(recipient), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	to, err := backup.ReadRecipients([]string{filepath.Join(dir, "recipient")})
	if err != nil {
		t.Fatal(err)
	}
	skey, vkey, err := journal.NewKey("log.example/backup")
	if err != nil {
		t.Fatal(err)
	}
	m := &backup.Maker{Place: p, Recipients: to, Keys: p, KeysFor: to, State: filepath.Join(dir, "state")}
	b, err := m.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer b.End()
	dump := bytes.Repeat([]byte("a row of the database\n"), 100_000)
	b.Secret("x", []byte("y"))
	if err := errors.Join(b.Database(ctx, bytes.NewReader(dump)), b.Commit(ctx, &backup.Manifest{At: time.Now()}, skey)); err != nil {
		t.Fatal(err)
	}
	found, err := backup.Find(ctx, p, "latest", vkey)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := backup.ReadIdentities([]string{filepath.Join(dir, "identity")})
	if err != nil {
		t.Fatal(err)
	}
	x, err := backup.ReadIndex(ctx, p, found, ids)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := backup.Copy(ctx, &got, p, x.Database, ids); err != nil || !bytes.Equal(got.Bytes(), dump) {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
	if s, err := backup.ReadSecrets(ctx, p, found, ids); err != nil || string(s.Named["x"]) != "y" {
		t.Errorf("%v, %v", s, err)
	}
	if bad, _, err := backup.Check(ctx, p, found); err != nil || len(bad) > 0 {
		t.Errorf("%v, %v", bad, err)
	}
}
