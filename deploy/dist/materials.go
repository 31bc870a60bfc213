package main

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"

	"mezhved/deploy/dist/licences"
)

// materials writes the bills of materials of one architecture (CycloneDX), one for each
// program, from what the linker has put into it, and returns the file with the licences
// of it all.
func (s *source) materials(out, work, arch string) (notices string, err error) {
	used, err := licences.Used(s.root, []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=" + arch}, false, "./cmd/mezhved", "./cmd/mezhved-audit")
	if err != nil {
		return "", err
	}
	std, err := licences.Go()
	if err != nil {
		return "", err
	}
	known := map[string]licences.Module{}
	var text bytes.Buffer
	fmt.Fprintf(&text, "What is linked into the programs of Mezhved, and under which licences.\n")
	for _, m := range append([]licences.Module{std}, used...) {
		if err := m.Bad(licences.Allowed); err != nil {
			return "", err
		}
		known[m.Path] = m
		fmt.Fprintf(&text, "\n\n%s\n%s %s: %s\n%s\n", strings.Repeat("=", 88), m.Path, m.Version, strings.Join(m.Licences, ", "), strings.Repeat("=", 88))
		for _, t := range m.Texts {
			fmt.Fprintf(&text, "\n%s:\n\n%s\n", t.Name, strings.TrimRight(t.Text, "\n"))
		}
	}
	for _, program := range programs {
		bill, err := s.bill(s.binary(out, program, arch), program, arch, known)
		if err != nil {
			return "", err
		}
		var b bytes.Buffer
		e := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON)
		e.SetPretty(true)
		if err := e.EncodeVersion(bill, cdx.SpecVersion1_6); err != nil {
			return "", err
		}
		if err := os.WriteFile(s.binary(out, program, arch)+".cdx.json", b.Bytes(), 0o644); err != nil {
			return "", err
		}
	}
	notices = filepath.Join(work, "licences."+arch)
	return notices, os.WriteFile(notices, text.Bytes(), 0o644)
}

// bill is what one program is made of.
func (s *source) bill(binary, program, arch string, known map[string]licences.Module) (*cdx.BOM, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	bill := cdx.NewBOM()
	bill.SerialNumber = uuid.NewSHA1(uuid.NameSpaceURL, []byte(program+" "+s.version+" "+s.commit+" "+arch)).URN()
	self := component("mezhved", s.version, []string{"Apache-2.0"})
	self.Type, self.Name = cdx.ComponentTypeApplication, program
	bill.Metadata = &cdx.Metadata{
		Timestamp:  s.date.Format("2006-01-02T15:04:05Z"),
		Component:  &self,
		Properties: &[]cdx.Property{{Name: "mezhved:commit", Value: s.commit}, {Name: "mezhved:platform", Value: "linux/" + arch}},
	}
	parts := []cdx.Component{component("std", strings.TrimPrefix(info.GoVersion, "go"), known["std"].Licences)}
	refs := []string{parts[0].BOMRef}
	for _, d := range info.Deps {
		m, there := known[d.Path]
		if !there || m.Version != d.Version {
			return nil, fmt.Errorf("%s is linked with %s %s, and the module has %q", program, d.Path, d.Version, m.Version)
		}
		c := component(d.Path, d.Version, m.Licences)
		if d.Sum != "" {
			c.Properties = &[]cdx.Property{{Name: "mezhved:gosum", Value: d.Sum}}
		}
		parts, refs = append(parts, c), append(refs, c.BOMRef)
	}
	bill.Components = &parts
	bill.Dependencies = &[]cdx.Dependency{{Ref: self.BOMRef, Dependencies: &refs}}
	return bill, nil
}

func component(module, version string, spdx []string) cdx.Component {
	ref := "pkg:golang/" + module + "@" + version
	c := cdx.Component{Type: cdx.ComponentTypeLibrary, BOMRef: ref, PackageURL: ref, Name: module, Version: version}
	var choices cdx.Licenses
	for _, id := range spdx {
		if strings.HasPrefix(id, "LicenseRef-") {
			choices = append(choices, cdx.LicenseChoice{License: &cdx.License{Name: id}})
		} else {
			choices = append(choices, cdx.LicenseChoice{License: &cdx.License{ID: id}})
		}
	}
	if len(choices) > 0 {
		c.Licenses = &choices
	}
	return c
}
