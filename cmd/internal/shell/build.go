package shell

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// What "make dist" links in (-ldflags -X), so that the same sources make the same
// bytes in any folder, with or without a repository. A build without it asks the Go
// toolchain, which looks at the repository.
var (
	release string // semantic version, without v
	commit  string // full hash
	date    string // of the commit, RFC 3339, UTC
)

// Build says what a program was made from.
type Build struct {
	Program  string `json:"program"`
	Version  string `json:"version"`           // of the release; development: none
	Commit   string `json:"commit,omitempty"`  // full hash; empty: not known
	Date     string `json:"date,omitempty"`    // of the commit, RFC 3339
	Changed  bool   `json:"changed,omitempty"` // the sources differed from the commit
	Go       string `json:"go"`
	Platform string `json:"platform"` // linux/amd64
	Tags     string `json:"tags,omitempty"`
	Static   bool   `json:"static"` // needs no library of the system; and so no PKCS#11 module either
}

// ThisBuild is the build of the program that asks.
func ThisBuild(program string) Build {
	b := Build{Program: program, Version: release, Commit: commit, Date: date, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b.named()
	}
	if v := info.Main.Version; b.Version == "" && v != "(devel)" {
		b.Version = strings.TrimPrefix(v, "v")
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = or(b.Commit, s.Value)
		case "vcs.time":
			b.Date = or(b.Date, s.Value)
		case "vcs.modified":
			b.Changed = s.Value == "true"
		case "-tags":
			b.Tags = s.Value
		case "CGO_ENABLED":
			b.Static = s.Value == "0"
		}
	}
	return b.named()
}

func (b Build) named() Build {
	b.Version = or(b.Version, "development")
	return b
}

// String is the line of --version.
func (b Build) String() string {
	made := "commit unknown"
	if b.Commit != "" {
		made = "commit " + b.Commit[:min(12, len(b.Commit))]
		if b.Date != "" {
			made += " of " + b.Date
		}
	}
	if b.Changed {
		made += ", changed since"
	}
	how := ""
	if b.Static {
		how += ", static"
	}
	if b.Tags != "" {
		how += ", tags " + b.Tags
	}
	return fmt.Sprintf("%s %s (%s; %s, %s%s)", b.Program, b.Version, made, b.Go, b.Platform, how)
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
