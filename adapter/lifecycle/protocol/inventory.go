package protocol

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// File is a file of a version's folder.
type File struct {
	Name   string `json:"name"` // from the folder, with /
	SHA256 string `json:"sha256"`
}

// Inventory is what a version consists of, by name.
type Inventory []File

// Folders whose files are tests.
const (
	Samples    = "samples"
	Invalid    = "samples/invalid"
	References = "reference"
	Scenarios  = "scenarios"
)

// folder is where the protocol itself stands.
const folder = "protocol"

// Take lists schema documents, samples, scenarios and reference messages of a
// version's folder. What begins with a dot or a low line is passed over, as the
// registry does; a link out of the folder, or to a folder, is an error.
func Take(dir string) (Inventory, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var out Inventory
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch base := path.Base(name); {
		case err != nil:
			return err
		case name != "." && (base[0] == '.' || base[0] == '_'), d.IsDir() && name == folder:
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.Type() == fs.ModeSymlink && tested(name+"/"): // what stands behind one to a folder is read by name, and not walked over
			if to, err := root.Stat(name); err != nil || to.IsDir() {
				return cmp.Or(err, fmt.Errorf("%s is a link to a folder: lay the files here", name))
			}
		}
		if d.IsDir() || !tested(name) {
			return nil
		}
		src, err := root.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(src)
		out = append(out, File{name, hex.EncodeToString(sum[:])})
		return nil
	})
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

func tested(name string) bool {
	if path.Ext(name) == ".xsd" {
		return true
	}
	for _, dir := range []string{Samples, References, Scenarios} {
		if strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	return false
}

// Digest is the SHA-256 over the lines that sha256sum prints for the files, in the
// order of their names.
func (v Inventory) Digest() string {
	h := sha256.New()
	for _, f := range v {
		fmt.Fprintf(h, "%s  %s\n", f.SHA256, f.Name)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// differences are the files that changed, came and went since an older inventory.
func (v Inventory) differences(old Inventory) (out []Flaw) {
	was, is := map[string]string{}, map[string]string{}
	for _, f := range old {
		was[f.Name] = f.SHA256
	}
	for _, f := range v {
		is[f.Name] = f.SHA256
	}
	for _, d := range compare(was, is) {
		out = append(out, d.flaw(d.name, "", ""))
	}
	return out
}

// different is what is told of a name of two sets.
type different struct {
	name     string
	was, now bool // it is in the older, in the newer set
}

// compare gives what changed, came and went, by name.
func compare(was, is map[string]string) (out []different) {
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if old, known := was[name]; !known || old != is[name] {
			out = append(out, different{name, known, true})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if _, there := is[name]; !there {
			out = append(out, different{name, true, false})
		}
	}
	return out
}

// flaw says it of a file, or of a thing in it that en and ru name.
func (d different) flaw(file, en, ru string) Flaw {
	switch {
	case !d.was:
		return Flaw{file, en + "was added after the protocol was made", ru + "появился после составления протокола"}
	case !d.now:
		return Flaw{file, en + "was there when the protocol was made and is gone", ru + "был при составлении протокола, теперь его нет"}
	}
	return Flaw{file, en + "was changed after the protocol was made", ru + "изменён после составления протокола"}
}

// Rules are what beside its files decides what a version does: Settings of its
// service.yaml, and the dictionaries that content is held against.
type Rules struct {
	Settings     []Setting
	Dictionaries []Edition
}

// differences are the settings and dictionaries that changed, came and went.
func (r Rules) differences(old Rules) (out []Flaw) {
	was, is := old.byName(), r.byName()
	for _, d := range compare(was, is) {
		if name, ok := strings.CutPrefix(d.name, "dictionary "); ok {
			out = append(out, d.flaw("service.yaml", "the dictionary "+name+" ", "справочник "+name+" "))
		} else {
			out = append(out, d.flaw("service.yaml", d.name+" ", "параметр "+d.name+" "))
		}
	}
	return out
}

func (r Rules) byName() map[string]string {
	out := map[string]string{}
	for _, s := range r.Settings {
		out[s.Name] = s.Value
	}
	for _, d := range r.Dictionaries {
		out["dictionary "+d.Name+" "+d.Version] = d.SHA256
	}
	return out
}

// Digest is one digest of them all.
func (r Rules) Digest() string {
	h := sha256.New()
	for _, s := range r.Settings {
		fmt.Fprintf(h, "%q %q\n", s.Name, s.Value)
	}
	for _, d := range r.Dictionaries {
		fmt.Fprintf(h, "%q %q %s\n", d.Name, d.Version, d.SHA256)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// path of a file of the protocol in a version's folder.
func pathOf(dir, name string) string { return filepath.Join(dir, folder, name) }
