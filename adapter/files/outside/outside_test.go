package outside

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/envelopes"
)

func client(t *testing.T, w *adaptertest.World, user, password string) *minio.Client {
	t.Helper()
	u, err := url.Parse(w.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(user, password, ""), MaxRetries: 1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A sender brings files by S3, whole and in parts; the recipient fetches them
// under the account of its poll, whole and in ranges, and no others.
func TestMinioClient(t *testing.T) {
	w := adaptertest.Start(t, adaptertest.WithFiles(func(c *adapter.Config) { c.Files.S3 = true }))
	muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
	up := client(t, w, "anonymous", "smev")
	var refs []envelopes.AttachmentReference
	var contents [][]byte
	for name, size := range map[string]int{"план участка №1.zip": 300_000, "большой файл.bin": 17<<20 + 5, "empty": 0} {
		content := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(size)}).Read(content)
		id := w.NewMessageID()
		info, err := up.PutObject(t.Context(), "attachment", id+"/"+name, bytes.NewReader(content), int64(size), minio.PutObjectOptions{PartSize: 5 << 20, NumThreads: 3})
		if err != nil || info.ETag == "" {
			t.Fatalf("%s: %+v, %v", name, info, err)
		}
		if st, err := up.StatObject(t.Context(), "attachment", id+"/"+name, minio.StatObjectOptions{}); err != nil || st.Size != int64(size) {
			t.Errorf("%s: %+v, %v", name, st, err)
		}
		refs, contents = append(refs, adaptertest.Reference(id, content)), append(contents, content)
	}
	if ok, err := up.BucketExists(t.Context(), "attachment"); err != nil || !ok {
		t.Error(ok, err)
	}
	sent := muni.Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), Stored: refs})
	if sent.Fault != nil {
		t.Fatal(sent.Fault)
	}
	got := registry.Await(envelopes.GetRequest, "").Message
	for i, f := range got.Files {
		down := client(t, w, f.UserName, f.Password)
		for _, key := range []string{f.UUID + "/" + f.FileName, f.FileName, strings.ToUpper(f.UUID) + "/" + f.FileName} {
			o, err := down.GetObject(t.Context(), "attachment", key, minio.GetObjectOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(o); err != nil || !bytes.Equal(b, contents[i]) {
				t.Errorf("%s: %d bytes, %v, want %d", key, len(b), err, len(contents[i]))
			}
		}
		if len(contents[i]) > 1000 {
			var opts minio.GetObjectOptions
			if err := opts.SetRange(500, 999); err != nil {
				t.Fatal(err)
			}
			o, err := down.GetObject(t.Context(), "attachment", f.FileName, opts)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(o); err != nil || !bytes.Equal(b, contents[i][500:1000]) {
				t.Errorf("a range: %d bytes, %v", len(b), err)
			}
		}
		if _, err := down.PutObject(t.Context(), "attachment", w.NewMessageID()+"/x", strings.NewReader("x"), 1, minio.PutObjectOptions{}); minio.ToErrorResponse(err).Code != "AccessDenied" {
			t.Errorf("a reader writes: %v", err)
		}
		if _, err := down.StatObject(t.Context(), "attachment", w.NewMessageID()+"/x", minio.StatObjectOptions{}); minio.ToErrorResponse(err).Code != "NoSuchKey" {
			t.Errorf("another file: %v", err)
		}
		wrong := client(t, w, f.UserName, "wrong")
		if _, err := wrong.StatObject(t.Context(), "attachment", f.FileName, minio.StatObjectOptions{}); err == nil {
			t.Error("a wrong secret was taken")
		}
	}
	if a := registry.Ack(sent.Receipt.MessageID); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	gone := client(t, w, got.Files[0].UserName, got.Files[0].Password)
	if _, err := gone.StatObject(t.Context(), "attachment", got.Files[0].FileName, minio.StatObjectOptions{}); err == nil {
		t.Error("the account is good after the Ack")
	}
	w.Eventually("the files have gone", func() bool { return w.Stored(refs...) == 0 })
	w.Check()
}
