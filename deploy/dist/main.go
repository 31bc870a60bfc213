package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// source is what is made into files.
type source struct {
	root    string // of the main module
	version string // semantic, without v
	commit  string
	date    time.Time // of the commit
}

// arches are those of the programs; packages and image have names of their own for them.
var arches = []string{"amd64", "arm64"}

// programs are those of the main module.
var programs = []string{"mezhved", "mezhved-audit"}

func main() {
	log.SetFlags(0)
	log.SetPrefix("dist: ")
	var s source
	out := flag.String("out", "", "folder to write into; what is in it is removed")
	only := flag.String("arch", "", "one architecture instead of all")
	flag.StringVar(&s.root, "root", "../..", "folder of the sources")
	flag.StringVar(&s.version, "version", "", "version; default: the tag of the commit, or one made of its date")
	flag.StringVar(&s.commit, "commit", "", "commit, where the sources are in no repository")
	date := flag.String("date", "", "its date, RFC 3339")
	flag.Parse()
	if *only != "" {
		arches = []string{*only}
	}
	if err := s.find(*date); err != nil {
		log.Fatal(err)
	}
	if err := s.make(*out); err != nil {
		log.Fatal(err)
	}
}

// find says which sources these are.
func (s *source) find(date string) (err error) {
	if s.root, err = filepath.Abs(s.root); err != nil {
		return err
	}
	if s.commit == "" {
		if s.commit, err = s.git("rev-parse", "HEAD"); err != nil {
			return fmt.Errorf("these sources are in no repository: say -version, -commit and -date (%w)", err)
		}
		if changed, err := s.git("status", "--porcelain"); err != nil || changed != "" {
			return errors.Join(err, fmt.Errorf("what is made here has to be made again by anybody from commit %.12s, and these files differ from it: commit them first\n%s", s.commit, changed))
		}
		if date == "" {
			if date, err = s.git("log", "-1", "--format=%cI"); err != nil {
				return err
			}
		}
	}
	if s.date, err = time.Parse(time.RFC3339, date); err != nil {
		return fmt.Errorf("-date: %w", err)
	}
	s.date = s.date.UTC()
	if s.version == "" {
		tag, err := s.git("describe", "--tags", "--exact-match", "--match", "v[0-9]*")
		if s.version = strings.TrimPrefix(tag, "v"); err != nil {
			s.version = fmt.Sprintf("0.0.0-%s.%.12s", s.date.Format("20060102150405"), s.commit)
		}
	}
	return nil
}

func (s *source) git(args ...string) (string, error) {
	var said bytes.Buffer
	cmd := exec.Command("git", append([]string{"-C", s.root}, args...)...)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(said.String()))
	}
	return strings.TrimSpace(string(out)), err
}

// make writes everything.
func (s *source) make(out string) error {
	if out == "" {
		out = filepath.Join(s.root, "dist")
	}
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	work := filepath.Join(out, "work")
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(work)
	log.Printf("mezhved %s, commit %.12s of %s", s.version, s.commit, s.date.Format(time.RFC3339))
	for _, arch := range arches {
		if err := s.programs(out, arch); err != nil {
			return err
		}
	}
	pages, err := s.pages(work)
	if err != nil {
		return err
	}
	for _, arch := range arches {
		notices, err := s.materials(out, work, arch)
		if err != nil {
			return err
		}
		if err := s.packages(out, arch, pages, notices); err != nil {
			return err
		}
	}
	if err := s.image(out); err != nil {
		return err
	}
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	return sums(out)
}

// binary is the file of a program.
func (s *source) binary(out, program, arch string) string {
	return filepath.Join(out, fmt.Sprintf("%s_%s_linux_%s", program, s.version, arch))
}

// programs compiles them, without C and so without any library of the system, and where
// it was measured what a program does (make profile), by that.
func (s *source) programs(out, arch string) error {
	const at = "mezhved/cmd/internal/shell"
	ldflags := fmt.Sprintf("-s -w -buildid= -X %[1]s.release=%[2]s -X %[1]s.commit=%[3]s -X %[1]s.date=%[4]s", at, s.version, s.commit, s.date.Format(time.RFC3339))
	for _, program := range programs {
		log.Printf("%s for linux/%s", program, arch)
		profile := filepath.Join("cmd", program, "load.pgo")
		if _, err := os.Stat(filepath.Join(s.root, profile)); errors.Is(err, fs.ErrNotExist) {
			profile = "off"
		}
		cmd := exec.Command("go", "build", "-trimpath", "-pgo", profile, "-buildvcs=false", "-mod=readonly", "-ldflags", ldflags, "-o", s.binary(out, program, arch), "./cmd/"+program)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOEXPERIMENT=", "GOFIPS140=off", "GOWORK=off")
		cmd.Dir, cmd.Stdout, cmd.Stderr = s.root, os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s for linux/%s: %w", program, arch, err)
		}
		if err := os.Chmod(s.binary(out, program, arch), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// pages are what the programs tell a machine of themselves, by program: the folder
// with man pages, and the completion for each shell.
type pages map[string]struct {
	manual     []string
	completion map[string]string
}

// pages lets the programs write them: those of this machine's kind, which are the same
// commands as the others.
func (s *source) pages(work string) (pages, error) {
	own := runtime.GOARCH
	if runtime.GOOS != "linux" || !slices.Contains(arches, own) {
		return nil, fmt.Errorf("man pages and completion come from the program itself, so this has to run on Linux and make linux/%s too", own)
	}
	all := pages{}
	for _, program := range programs {
		run := func(args ...string) (string, error) {
			out, err := exec.Command(s.binary(filepath.Dir(work), program, own), args...).Output()
			if err != nil {
				err = fmt.Errorf("%s %s: %w", program, strings.Join(args, " "), err)
			}
			return string(out), err
		}
		manual := filepath.Join(work, program+".man")
		written, err := run("manual", "--out", manual)
		if err != nil {
			return nil, err
		}
		p := all[program]
		p.completion = map[string]string{}
		for _, page := range strings.Fields(written) {
			zipped, err := gzipped(page)
			if err != nil {
				return nil, err
			}
			p.manual = append(p.manual, zipped)
		}
		for _, shell := range []string{"bash", "zsh", "fish"} {
			text, err := run("completion", shell)
			if err != nil {
				return nil, err
			}
			p.completion[shell] = filepath.Join(work, program+"."+shell)
			if err := os.WriteFile(p.completion[shell], []byte(text), 0o644); err != nil {
				return nil, err
			}
		}
		all[program] = p
	}
	return all, nil
}

// sums writes SHA256SUMS, as sha256sum --check reads it.
func sums(out string) error {
	var list bytes.Buffer
	err := filepath.WalkDir(out, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(out, name)
		fmt.Fprintf(&list, "%x  %s\n", sha256.Sum256(data), rel)
		return err
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "SHA256SUMS"), list.Bytes(), 0o644)
}
