package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

const maintainer = "The Mezhved authors"

// packages writes the .deb and the .rpm of both programs for one architecture.
func (s *source) packages(out, arch string, p pages, notices string) error {
	gateway := &nfpm.Info{
		Name:        "mezhved",
		Description: "Gateway for interdepartmental exchange in the style of SMEV 3\n It proves who signed, validates content against schemas, queues requests and\n replies, and keeps a journal that a stranger can verify offline.",
		Overridables: nfpm.Overridables{
			Depends:    []string{"passwd"},
			Recommends: []string{"ca-certificates"},
			Suggests:   []string{"mezhved-audit", "postgresql"},
			Contents: append(s.common("mezhved", out, arch, p, notices),
				s.unit("mezhved.service"), s.unit("mezhved-route.service"), s.unit("mezhved-backup.service"), s.unit("mezhved-backup.timer"), s.unit("mezhved-backup-register.service"), s.unit("mezhved-backup-register.timer"),
				&files.Content{Source: s.path("deploy/mezhved.yaml"), Destination: "/etc/mezhved/mezhved.yaml", Type: files.TypeConfigNoReplace, FileInfo: &files.ContentFileInfo{Mode: 0o640, Group: "mezhved", MTime: s.date}},
				s.folder("/etc/mezhved", "root", 0o750),
				s.folder("/etc/mezhved/services", "root", 0o750),
				s.folder("/etc/mezhved/parties", "root", 0o750),
				s.folder("/var/lib/mezhved", "mezhved", 0o750),
				s.file("docs/install.md", "/usr/share/doc/mezhved/install.md", 0o644),
				s.file("docs/install.ru.md", "/usr/share/doc/mezhved/install.ru.md", 0o644),
				s.file("adapter/testdata/mezhved.yaml", "/usr/share/doc/mezhved/mezhved.yaml.sample", 0o644),
				s.file("deploy/route.yaml", "/usr/share/doc/mezhved/route.yaml.sample", 0o644),
				s.file("deploy/alerts.yaml", "/usr/share/doc/mezhved/alerts.yaml", 0o644),
				s.file("deploy/grafana.json", "/usr/share/doc/mezhved/grafana.json", 0o644),
			),
			Scripts: nfpm.Scripts{
				PreInstall: s.path("deploy/package/preinst"), PostInstall: s.path("deploy/package/postinst"),
				PreRemove: s.path("deploy/package/prerm"), PostRemove: s.path("deploy/package/postrm"),
			},
		},
	}
	gateway.Deb.Predepends = []string{"passwd"} // the account is made before the files come
	auditor := &nfpm.Info{
		Name:        "mezhved-audit",
		Description: "Offline verifier of the Mezhved journal\n It verifies evidence bundles and whole logs on a machine that need not trust, or\n reach, the gateway.",
		Overridables: nfpm.Overridables{
			Contents: append(s.common("mezhved-audit", out, arch, p, notices),
				s.file("docs/audit.md", "/usr/share/doc/mezhved-audit/audit.md", 0o644),
				s.file("docs/audit.ru.md", "/usr/share/doc/mezhved-audit/audit.ru.md", 0o644)),
		},
	}
	for _, info := range []*nfpm.Info{gateway, auditor} {
		info.Arch, info.Platform, info.Version = arch, "linux", s.version
		info.Section, info.Priority = "net", "optional"
		info.Maintainer, info.License = maintainer, "Apache-2.0"
		info.MTime = s.date
		info.RPM.BuildHost, info.RPM.Group, info.RPM.Compression = "localhost", "Applications/Internet", "gzip"
		info.DisableGlobbing = true
		for _, format := range []string{"deb", "rpm"} {
			if err := s.pack(out, format, info); err != nil {
				return fmt.Errorf("%s of %s for %s: %w", format, info.Name, arch, err)
			}
		}
	}
	return nil
}

func (s *source) pack(out, format string, info *nfpm.Info) error {
	packager, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	one := *info
	one.Contents = nil
	for _, c := range info.Contents {
		if c.Packager == "" || c.Packager == format {
			own := *c
			one.Contents = append(one.Contents, &own)
		}
	}
	if format == "rpm" { // there the account's programs have another package
		one.Depends = nil
		if len(info.Depends) > 0 {
			one.Depends = []string{"shadow-utils"}
		}
	}
	full := nfpm.WithDefaults(&one)
	if err := nfpm.PrepareForPackager(full, format); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := packager.Package(full, &b); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, packager.ConventionalFileName(full)), b.Bytes(), 0o644)
}

// common is what both packages have: program, pages, completion, licences.
func (s *source) common(program, out, arch string, p pages, notices string) files.Contents {
	doc := "/usr/share/doc/" + program
	put := func(from, to string) *files.Content {
		return &files.Content{Source: from, Destination: to, FileInfo: &files.ContentFileInfo{Mode: 0o644, MTime: s.date}}
	}
	all := files.Contents{
		{Source: s.binary(out, program, arch), Destination: "/usr/bin/" + program, FileInfo: &files.ContentFileInfo{Mode: 0o755, MTime: s.date}},
		put(p[program].completion["bash"], "/usr/share/bash-completion/completions/"+program),
		put(p[program].completion["fish"], "/usr/share/fish/vendor_completions.d/"+program+".fish"),
		s.file("LICENSE", doc+"/copyright", 0o644),
		put(notices, doc+"/licences.txt"),
	}
	for format, folder := range map[string]string{"deb": "vendor-completions", "rpm": "site-functions"} {
		c := put(p[program].completion["zsh"], "/usr/share/zsh/"+folder+"/_"+program)
		c.Packager = format
		all = append(all, c)
	}
	for _, page := range p[program].manual {
		section := strings.TrimPrefix(filepath.Ext(strings.TrimSuffix(page, ".gz")), ".")
		all = append(all, put(page, "/usr/share/man/man"+section+"/"+filepath.Base(page)))
	}
	return all
}

func (s *source) path(name string) string { return filepath.Join(s.root, filepath.FromSlash(name)) }

func (s *source) file(from, to string, mode os.FileMode) *files.Content {
	return &files.Content{Source: s.path(from), Destination: to, FileInfo: &files.ContentFileInfo{Mode: mode, MTime: s.date}}
}

func (s *source) unit(name string) *files.Content {
	return s.file("deploy/"+name, "/usr/lib/systemd/system/"+name, 0o644)
}

func (s *source) folder(name, owner string, mode os.FileMode) *files.Content {
	return &files.Content{Destination: name, Type: files.TypeDir, FileInfo: &files.ContentFileInfo{Mode: mode, Owner: owner, Group: "mezhved", MTime: s.date}}
}

// gzipped writes a file anew beside itself, compressed, with no name and no time in it.
func gzipped(name string) (string, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return "", err
	}
	if _, err := z.Write(data); err != nil {
		return "", err
	}
	if err := z.Close(); err != nil {
		return "", err
	}
	return name + ".gz", os.WriteFile(name+".gz", b.Bytes(), 0o644)
}
