// Package licences reads under which licences other people's modules are used, and
// holds them against the project's policy (SECURITY.md): what is linked into its
// programs must be free to use, change and hand on under Apache-2.0 beside it.
//
// It recognises licences by the sentences that make them what they are. A text that it
// does not know is refused, so a new module is looked at by a person, once.
package licences

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// Module is one module with its licences.
type Module struct {
	Path, Version string
	Dir           string
	Licences      []string // SPDX identifiers, sorted
	Texts         []Text   // as the module has them, notices too
}

// Text is a file of a module.
type Text struct{ Name, Text string }

// Allowed are the licences that a module in a program may have.
var Allowed = []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "LicenseRef-Public-Domain", "MIT", "Unlicense"}

// AllowedInTests are those that a module may have which only tests use: it is handed on
// to nobody.
var AllowedInTests = append(slices.Clone(Allowed), "MPL-2.0")

// Used are the modules of which packages are built, their tests included if wanted.
func Used(root string, env []string, tests bool, packages ...string) ([]Module, error) {
	args := append([]string{"list", "-deps", "-json=Module,Standard"}, packages...)
	if tests {
		args = slices.Insert(args, 1, "-test")
	}
	cmd := exec.Command("go", args...)
	var said bytes.Buffer
	cmd.Dir, cmd.Stderr, cmd.Env = root, &said, append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, said.String())
	}
	seen := map[string]Module{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Module *struct {
				Path, Version, Dir string
				Main               bool
			}
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if p.Module != nil && !p.Module.Main {
			seen[p.Module.Path] = Module{Path: p.Module.Path, Version: p.Module.Version, Dir: p.Module.Dir}
		}
	}
	var all []Module
	for _, m := range seen {
		if err := m.read(); err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b Module) int { return strings.Compare(a.Path, b.Path) })
	return all, nil
}

// Go is the toolchain's standard library, which is in every program.
func Go() (Module, error) {
	out, err := exec.Command("go", "env", "GOVERSION", "GOROOT").Output()
	if err != nil {
		return Module{}, fmt.Errorf("go env: %w", err)
	}
	said := strings.Fields(string(out))
	m := Module{Path: "std", Version: strings.TrimPrefix(said[0], "go"), Dir: said[1]}
	return m, m.read()
}

// Bad says what is wrong with the licences of a module, or nil.
func (m Module) Bad(allowed []string) error {
	if len(m.Licences) == 0 {
		return fmt.Errorf("%s %s: no licence that is known here, in %s: read it, and teach package licences to", m.Path, m.Version, m.Dir)
	}
	for _, l := range m.Licences {
		if !slices.Contains(allowed, l) {
			return fmt.Errorf("%s %s is under %s, which the policy (SECURITY.md) does not allow: take another module", m.Path, m.Version, l)
		}
	}
	return nil
}

func (m *Module) read() error {
	list, err := os.ReadDir(m.Dir)
	if err != nil {
		return fmt.Errorf("%s: %w", m.Path, err)
	}
	for _, f := range list {
		name := strings.ToUpper(f.Name())
		licence := strings.HasPrefix(name, "LICENSE") || strings.HasPrefix(name, "LICENCE") || strings.HasPrefix(name, "COPYING") || strings.HasPrefix(name, "UNLICENSE")
		if f.IsDir() || strings.HasSuffix(name, ".GO") || !licence && !strings.HasPrefix(name, "NOTICE") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(m.Dir, f.Name()))
		if err != nil {
			return err
		}
		m.Texts = append(m.Texts, Text{f.Name(), string(text)})
		if licence {
			m.Licences = append(m.Licences, Recognise(string(text))...)
		}
	}
	slices.Sort(m.Licences)
	m.Licences = slices.Compact(m.Licences)
	return nil
}

// marks are the sentences by which a licence is known; all of one have to be there, and
// what stands in not must be missing.
var marks = []struct {
	spdx     string
	all, not []string
}{
	{"Apache-2.0", []string{"apache license version 2 0 january 2004"}, nil},
	{"Apache-2.0", []string{"licensed under the apache license version 2 0"}, []string{"january 2004"}},
	{"MIT", []string{"permission is hereby granted free of charge to any person obtaining a copy of this software", "the software is provided as is"}, nil},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "endorse or promote products derived from this software"}, nil},
	{"BSD-2-Clause", []string{"redistribution and use in source and binary forms", "redistributions in binary form must reproduce"}, []string{"endorse or promote products derived from this software"}},
	{"ISC", []string{"permission to use copy modify and or distribute this software for any purpose with or without fee is hereby granted provided that the above copyright notice"}, nil},
	{"ISC", []string{"permission to use copy modify and distribute this software for any purpose with or without fee is hereby granted provided that the above copyright notice"}, nil},
	{"0BSD", []string{"permission to use copy modify and or distribute this software for any purpose with or without fee is hereby granted the software is provided"}, nil},
	{"Unlicense", []string{"this is free and unencumbered software released into the public domain"}, nil},
	{"CC0-1.0", []string{"cc0 1 0 universal"}, nil},
	{"LicenseRef-Public-Domain", []string{"public domain", "you can do whatever you want with"}, nil},
	{"MPL-2.0", []string{"mozilla public license version 2 0"}, nil},
	{"EPL-2.0", []string{"eclipse public license v 2 0"}, nil},
	// The Mozilla licence names them as what its files may come under, too.
	{"AGPL-3.0-only", []string{"gnu affero general public license version 3"}, []string{"mozilla public license version 2 0"}},
	{"LGPL-3.0-only", []string{"gnu lesser general public license version 3"}, nil},
	{"LGPL-2.1-only", []string{"gnu lesser general public license version 2 1"}, []string{"mozilla public license version 2 0"}},
	{"GPL-3.0-only", []string{"gnu general public license version 3 29 june 2007"}, nil},
	{"GPL-2.0-only", []string{"gnu general public license version 2 june 1991"}, nil},
	{"BUSL-1.1", []string{"business source license 1 1"}, nil},
	{"SSPL-1.0", []string{"server side public license"}, nil},
}

// Recognise names the licences in a text, none if it knows none of them.
func Recognise(text string) (out []string) {
	plain := " " + strings.Join(strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }), " ") + " "
	for _, m := range marks {
		has := func(s string) bool { return strings.Contains(plain, s) }
		if !slices.ContainsFunc(m.all, func(s string) bool { return !has(s) }) && !slices.ContainsFunc(m.not, has) && !slices.Contains(out, m.spdx) {
			out = append(out, m.spdx)
		}
	}
	return out
}
