package protocol

import (
	"bytes"
	_ "embed"
	"errors"
	"html/template"
	"io/fs"
	"path/filepath"
	"time"
)

//go:embed page.html
var pageSource string

var moscow = time.FixedZone("МСК", 3*60*60)

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"day":    func(t time.Time) string { return t.In(moscow).Format("02.01.2006") },
	"minute": func(t time.Time) string { return t.In(moscow).Format("02.01.2006 15:04") + " (МСК)" },
	"inc":    func(i int) int { return i + 1 },
	"count": func(cases []Case, passed bool) (n int) {
		for _, c := range cases {
			if c.Passed == passed {
				n++
			}
		}
		return n
	},
}).Parse(pageSource))

// Page is the protocol for people, in Russian, with the signatures that hold over
// it. Equal documents and signatures make equal pages.
func Page(d *Document, digest string, signatures []Signature) []byte {
	var b bytes.Buffer
	if err := page.Execute(&b, map[string]any{"D": d, "Digest": digest, "Signatures": signatures}); err != nil {
		panic("protocol: " + err.Error()) // the template and the types are ours
	}
	return b.Bytes()
}

// WritePage makes the page of a folder's protocol again.
func WritePage(dir string) error {
	d, src, err := Read(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	held, _ := AllSignatures(dir)
	return replace(filepath.Join(dir, folder, FileHTML), Page(d, DigestOf(src), held))
}
