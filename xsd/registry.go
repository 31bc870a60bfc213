package xsd

import (
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"sync/atomic"
)

// Entry is the schema of one version of a service.
type Entry struct {
	Service string
	Version string
	Bundle  fs.FS
	Roots   []string // paths of root documents in the bundle
	Options Options
}

// Registry holds the compiled schema of each service and version. The zero
// value is empty and ready. Readers never wait: a reload swaps the whole set,
// or, when anything is wrong with the new one, nothing.
type Registry struct {
	set atomic.Pointer[map[entryKey]*Schema]
}

type entryKey struct{ service, version string }

// EntryError says that the schema of one entry was refused. It wraps the
// *CompileError.
type EntryError struct {
	Service, Version string
	Err              error
}

func (e *EntryError) Error() string {
	return fmt.Sprintf("service %s %s: %v", e.Service, e.Version, e.Err)
}

func (e *EntryError) Unwrap() error { return e.Err }

// Load compiles all entries and puts them in the place of those before. On any
// error (*EntryError, joined, one per bad entry) the old set stays. A schema
// whose documents have not changed keeps its identity, and with it the
// validators that were made from it.
func (r *Registry) Load(entries []Entry) error {
	old := r.all()
	next := make(map[entryKey]*Schema, len(entries))
	var errs []error
	for _, e := range entries {
		k := entryKey{e.Service, e.Version}
		if next[k] != nil {
			errs = append(errs, &EntryError{e.Service, e.Version, errors.New("registered twice")})
			continue
		}
		s, err := Compile(e.Bundle, e.Roots, e.Options)
		if err != nil {
			errs = append(errs, &EntryError{e.Service, e.Version, err})
			continue
		}
		if o := old[k]; o != nil && o.digest == s.digest {
			s = o
		}
		next[k] = s
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	r.set.Store(&next)
	return nil
}

func (r *Registry) all() map[entryKey]*Schema {
	if m := r.set.Load(); m != nil {
		return *m
	}
	return nil
}

// Schema is the compiled schema of a service's version.
func (r *Registry) Schema(service, version string) (*Schema, bool) {
	s, ok := r.all()[entryKey{service, version}]
	return s, ok
}

// Usage is what one entry costs.
type Usage struct {
	Service, Version string
	Bytes            int // estimate, see Schema.Memory
	Documents        int
}

// Usage lists the memory of each entry, by service and version.
func (r *Registry) Usage() []Usage {
	var out []Usage
	for k, s := range r.all() {
		out = append(out, Usage{k.service, k.version, s.memory, len(s.files)})
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		return a.Service < b.Service || a.Service == b.Service && a.Version < b.Version
	})
	return out
}
