package parcel

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/encoding/charmap"
)

// file is one that a package holds.
type file struct {
	from string // the zip, or the folder
	name string // with slashes, inside it
	src  []byte
}

func (f *file) String() string { return f.from + "/" + f.name }

// What a package may hold at most.
const (
	mostFiles = 3000
	mostBytes = 128 << 20
)

// opener gathers files and says what it did with them.
type opener struct {
	files []*file
	bytes int64
	r     *Report
}

// open reads a zip, a folder, or a single file.
func (o *opener) open(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return o.folder(name)
	}
	src, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".xsd", ".xml":
		return o.add(filepath.Base(filepath.Dir(name)), filepath.Base(name), src, 0)
	}
	return o.zip(filepath.Base(name), src, 0)
}

func (o *opener) folder(dir string) error {
	root := os.DirFS(dir)
	return fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !d.Type().IsRegular() {
			return err
		}
		src, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		return o.add(filepath.Base(dir), name, src, 0)
	})
}

func (o *opener) zip(from string, src []byte, depth int) error {
	z, err := zip.NewReader(bytes.NewReader(src), int64(len(src)))
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	for _, f := range z.File {
		if f.FileInfo().IsDir() {
			continue
		}
		name := f.Name
		if f.NonUTF8 { // Windows writes them so
			if known, err := charmap.CodePage866.NewDecoder().String(name); err == nil {
				name = known
			}
		}
		name = path.Clean(strings.ReplaceAll(name, `\`, "/"))
		if strings.ContainsFunc(name, unicode.IsControl) { // it would be printed, on terminals too
			o.r.tell(from, false, say("%q is left out: there are control characters in the name", "%q пропущен: в имени управляющие символы", name))
			continue
		}
		if !fs.ValidPath(name) {
			o.r.tell(from+"/"+name, false, say("is left out: the name leads out of the package", "пропущен: имя ведёт за пределы пакета"))
			continue
		}
		in, err := f.Open()
		if err != nil {
			return fmt.Errorf("%s: %s: %w", from, name, err)
		}
		one, err := io.ReadAll(io.LimitReader(in, mostBytes-o.bytes+1))
		in.Close()
		if err != nil {
			return fmt.Errorf("%s: %s: %w", from, name, err)
		}
		if err := o.add(from, name, one, depth); err != nil {
			return err
		}
	}
	return nil
}

func (o *opener) add(from, name string, src []byte, depth int) error {
	if o.bytes += int64(len(src)); o.bytes > mostBytes || len(o.files) >= mostFiles {
		return fmt.Errorf("%s: more than %d files or %d MB unpacked are not read", from, mostFiles, mostBytes>>20)
	}
	switch {
	case strings.EqualFold(path.Ext(name), ".zip") && depth < 2:
		return o.zip(path.Base(name), src, depth+1)
	case strings.HasPrefix(name, "__MACOSX/"), path.Base(name)[0] == '.':
		return nil
	}
	o.files = append(o.files, &file{from, name, src})
	return nil
}

var declared = regexp.MustCompile(`^(?:\xEF\xBB\xBF)?(<\?xml[^>]*?encoding\s*=\s*["'])([A-Za-z0-9._-]+)(["'])`)

// asUTF8 writes a document anew that is declared to be in another encoding.
func (o *opener) asUTF8(f *file) {
	m := declared.FindSubmatchIndex(f.src)
	if m == nil {
		return
	}
	known := map[string]*charmap.Charmap{"windows-1251": charmap.Windows1251, "cp1251": charmap.Windows1251, "koi8-r": charmap.KOI8R, "ibm866": charmap.CodePage866, "cp866": charmap.CodePage866, "iso-8859-5": charmap.ISO8859_5}
	name := string(f.src[m[4]:m[5]])
	c := known[strings.ToLower(name)]
	if c == nil {
		return
	}
	rest, err := c.NewDecoder().Bytes(f.src[m[5]:])
	if err != nil {
		return
	}
	f.src = slices.Concat(f.src[m[2]:m[4]], []byte("UTF-8"), rest)
	o.r.tell(f.String(), false, say("was in %s and is written in UTF-8", "был в кодировке %s, записан в UTF-8", name))
}
