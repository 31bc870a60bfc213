package protocol

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
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
		switch sum, known := was[f.Name]; {
		case !known:
			out = append(out, Flaw{f.Name, "was added after the protocol was made", "появился после составления протокола"})
		case sum != f.SHA256:
			out = append(out, Flaw{f.Name, "was changed after the protocol was made", "изменён после составления протокола"})
		}
	}
	for _, f := range old {
		if _, there := is[f.Name]; !there {
			out = append(out, Flaw{f.Name, "was there when the protocol was made and is gone", "был при составлении протокола, теперь его нет"})
		}
	}
	return out
}

// path of a file of the protocol in a version's folder.
func pathOf(dir, name string) string { return filepath.Join(dir, folder, name) }
