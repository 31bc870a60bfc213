package xsd

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"mezhved/envelopes/xmltape"
)

// Mount is a bundle with another one beside it: paths that begin with dir and a
// slash are looked for in mounted, all others in base. It is how a service's
// folder gets the dictionaries that all services share.
func Mount(base fs.FS, dir string, mounted fs.FS) fs.FS {
	return mount{base, path.Clean(dir), mounted}
}

type mount struct {
	base    fs.FS
	dir     string
	mounted fs.FS
}

// Open implements fs.FS.
func (m mount) Open(name string) (fs.File, error) {
	if rest, ok := strings.CutPrefix(name, m.dir+"/"); ok {
		return m.mounted.Open(rest)
	}
	if name == m.dir {
		return m.mounted.Open(".")
	}
	return m.base.Open(name)
}

// Catalog maps the target namespace of each .xsd file under dir to its path,
// for Options.Catalog: a folder of dictionaries (ЕСНСИ, ЦНСИ) that imports
// without a location, or with one on the network, are then found in. Two files
// of one namespace are an error that names both, because an import could mean
// either.
func Catalog(fsys fs.FS, dir string) (map[string]string, error) {
	catalog := map[string]string{}
	var errs []error
	err := fs.WalkDir(fsys, dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(p) != ".xsd" {
			return err
		}
		src, err := fs.ReadFile(fsys, p)
		if err != nil {
			return err
		}
		var tape xmltape.Tape
		if _, err := parse(&tape, src); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p, err))
			return nil
		}
		target, _ := tape.Root().Attr("", "targetNamespace")
		switch other, taken := catalog[target]; {
		case !tape.Root().Is(xsdSpace, "schema") || target == "":
			errs = append(errs, fmt.Errorf("%s: not a schema with a target namespace", p))
		case taken:
			errs = append(errs, fmt.Errorf("%s and %s: both are for namespace %q", other, p, target))
		default:
			catalog[target] = p
		}
		return nil
	})
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, fmt.Errorf("catalog of schemas: %w", err)
	}
	return catalog, nil
}
