package registry

import (
	"archive/zip"
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"mezhved/adapter/yamlfile"
	"mezhved/xsd"
)

// Sketch is what the content of a service version is to be, taken out of its folder so
// that it can be tried elsewhere: nothing of it is in force there.
type Sketch struct {
	Service  string            `json:"service"`
	Version  string            `json:"version"`
	Request  QName             `json:"request"`
	Response QName             `json:"response,omitzero"`
	Roots    []string          `json:"roots"`
	Imports  map[string]string `json:"imports,omitempty"` // namespace to file
	Schemas  []byte            `json:"schemas"`           // zip of the .xsd files
}

// ReadSketch takes the sketch of the version in a folder <name>/<version>. What is wrong
// with its schema is told by Compile.
func ReadSketch(dir string) (*Sketch, yamlfile.Findings) {
	var in serviceFile
	f := yamlfile.Read(filepath.Join(dir, "service.yaml"), &in)
	if f.Broken {
		return nil, f.Findings
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		f.Errorf("", "%v", err)
		return nil, f.Findings
	}
	k := &Sketch{Service: filepath.Base(filepath.Dir(abs)), Version: filepath.Base(abs), Request: QName{in.Root.Namespace, in.Root.Request},
		Roots: rootsOf(dir, &in), Imports: importsOf(&in)}
	if in.Root.Response != "" {
		k.Response = QName{in.Root.Namespace, in.Root.Response}
	}
	if in.Root.Namespace == "" || in.Root.Request == "" {
		f.Errorf("root", "is missing: namespace and request name what the schema is held against")
	}
	if len(k.Roots) == 0 {
		f.Errorf("schemas", "there is no .xsd in %s: the content could not be checked", dir)
	}
	if k.Schemas, err = zipSchemas(dir); err != nil {
		f.Errorf("schemas", "%v", err)
	}
	if found := f.Findings; len(found.Errors()) > 0 {
		return nil, found
	}
	return k, f.Findings
}

// mostSchemas bounds the schema documents of a sketch.
const mostSchemas = 8 << 20

// zipSchemas packs the schema documents of a folder.
func zipSchemas(dir string) ([]byte, error) {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".xsd" {
			return err
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		w, err := z.Create(filepath.ToSlash(rel))
		if err == nil {
			_, err = w.Write(src)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	err = z.Close()
	return out.Bytes(), err
}

// Compile makes the version of a sketch, with its schema and nothing else: it has no
// callers and no providers.
func (k *Sketch) Compile() (*Service, error) {
	z, err := zip.NewReader(bytes.NewReader(k.Schemas), int64(len(k.Schemas)))
	if err != nil {
		return nil, fmt.Errorf("schemas: %w", err)
	}
	schema, err := xsd.Compile(z, k.Roots, xsd.Options{Catalog: k.Imports, Limits: xsd.Limits{Bytes: mostSchemas}})
	if err != nil {
		return nil, err
	}
	for _, root := range []QName{k.Request, k.Response} {
		if root.Local != "" && !schema.HasElement(root.Space, root.Local) {
			return nil, fmt.Errorf("the schema declares no global element %s", root)
		}
	}
	return &Service{Name: k.Service, Version: k.Version, Title: cmp.Or(k.Service, "-"), Request: k.Request, Response: k.Response, Schema: schema}, nil
}
