package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// account is the user and group that the image runs as. No name in it has a password
// or a shell, and there is no program to become another one.
const account = 65532

// image writes one image for all architectures, as an archive in OCI's layout: docker
// load, podman load, ctr images import and skopeo copy oci-archive: take it.
//
// It has what the programs need and nothing beside: authorities' certificates, time
// zones, an account, and the programs. There is no shell and no package manager in it.
func (s *source) image(out string) error {
	base, err := s.base()
	if err != nil {
		return err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range arches {
		img, err := s.platform(out, arch, base)
		if err != nil {
			return fmt.Errorf("image for %s: %w", arch, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	named := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{Add: index, Descriptor: v1.Descriptor{
		Annotations: map[string]string{"org.opencontainers.image.ref.name": s.version, "io.containerd.image.name": "mezhved:" + s.version},
	}})
	dir := filepath.Join(out, "work", "image")
	if _, err := layout.Write(dir, named); err != nil {
		return err
	}
	return s.archive(dir, filepath.Join(out, fmt.Sprintf("mezhved_%s_oci.tar", s.version)))
}

func (s *source) platform(out, arch string, base v1.Layer) (v1.Image, error) {
	own := newTree(s)
	for _, program := range programs {
		data, err := os.ReadFile(s.binary(out, program, arch))
		if err != nil {
			return nil, err
		}
		own.file("usr/bin/"+program, 0o755, data)
	}
	layer, err := own.layer()
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	config.Created = v1.Time{Time: s.date}
	config.Config = v1.Config{
		User:         fmt.Sprintf("%d:%d", account, account),
		Env:          []string{"PATH=/usr/bin", "GOMEMLIMIT=1GiB"},
		Entrypoint:   []string{"/usr/bin/mezhved"},
		Cmd:          []string{"serve", "--config", "/etc/mezhved/mezhved.yaml", "--log-json"},
		WorkingDir:   "/var/lib/mezhved",
		Volumes:      map[string]struct{}{"/var/lib/mezhved": {}},
		ExposedPorts: map[string]struct{}{"7500/tcp": {}},
		StopSignal:   "SIGTERM",
		Labels: map[string]string{
			"org.opencontainers.image.title":    "mezhved",
			"org.opencontainers.image.version":  s.version,
			"org.opencontainers.image.revision": s.commit,
			"org.opencontainers.image.created":  s.date.Format("2006-01-02T15:04:05Z"),
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return nil, err
	}
	created := v1.Time{Time: s.date}
	return mutate.Append(img,
		mutate.Addendum{Layer: base, History: v1.History{Created: created, CreatedBy: "authorities, time zones, account"}},
		mutate.Addendum{Layer: layer, History: v1.History{Created: created, CreatedBy: "programs"}})
}

// base is the layer that does not change with the programs.
func (s *source) base() (v1.Layer, error) {
	t := newTree(s)
	t.file("etc/passwd", 0o644, fmt.Appendf(nil, "root:x:0:0:root:/:/sbin/nologin\nmezhved:x:%d:%d:Mezhved gateway:/var/lib/mezhved:/sbin/nologin\n", account, account))
	t.file("etc/group", 0o644, fmt.Appendf(nil, "root:x:0:\nmezhved:x:%d:\n", account))
	t.file("etc/nsswitch.conf", 0o644, []byte("hosts: files dns\n"))
	t.file("etc/ssl/certs/ca-certificates.crt", 0o644, authorities())
	t.folder("etc/mezhved", 0o755, 0)
	t.folder("var/lib/mezhved", 0o750, account)
	t.folder("var/lib/mezhved/files", 0o750, account) // a new volume begins as a copy of this
	t.folder("tmp", 0o1777, 0)
	if err := t.zones(); err != nil {
		return nil, err
	}
	return t.layer()
}

// authorities are Mozilla's roots, as the Go project keeps them. Those that are trusted
// for a part of the names only are left out: a file of certificates cannot say so.
func authorities() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
		}
	}
	return b.Bytes()
}

// zones are the time zones of the Go that compiles.
func (t *tree) zones() error {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	z, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(out)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		return fmt.Errorf("time zones: %w", err)
	}
	defer z.Close()
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return err
		}
		data, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			return err
		}
		t.file("usr/share/zoneinfo/"+f.Name, 0o644, data)
	}
	return nil
}

// tree is a layer in the making.
type tree struct {
	s       *source
	entries map[string]entry
}

type entry struct {
	header tar.Header
	data   []byte
}

func newTree(s *source) *tree { return &tree{s, map[string]entry{}} }

func (t *tree) file(name string, mode int64, data []byte) {
	t.parents(name)
	t.entries[name] = entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(data))}, data}
}

func (t *tree) folder(name string, mode int64, owner int) {
	t.parents(name)
	t.entries[name] = entry{header: tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, Uid: owner, Gid: owner}}
}

func (t *tree) parents(name string) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, there := t.entries[dir]; !there {
			t.entries[dir] = entry{header: tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}}
		}
	}
}

func (t *tree) layer() (v1.Layer, error) {
	var names []string
	for name := range t.entries {
		names = append(names, name)
	}
	slices.Sort(names)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		e := t.entries[name]
		e.header.ModTime, e.header.Format = t.s.date, tar.FormatPAX
		if err := w.WriteHeader(&e.header); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }, tarball.WithMediaType(types.OCILayer))
}

// archive puts a folder into one tar file.
func (s *source) archive(dir, out string) error {
	t := newTree(s)
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(name)
		t.file(filepath.ToSlash(rel), 0o644, data)
		return err
	})
	if err != nil {
		return err
	}
	layer, err := t.layer()
	if err != nil {
		return err
	}
	plain, err := layer.Uncompressed()
	if err != nil {
		return err
	}
	defer plain.Close()
	data, err := io.ReadAll(plain)
	if err != nil {
		return err
	}
	return os.WriteFile(out, data, 0o644)
}
