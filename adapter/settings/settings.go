// Package settings says what an operator changed: which setting of which service,
// party or configuration, from what to what. It knows no file and no store: a State
// is given to it twice. Whoever reads settings may enter.
//
// What becomes an entry of the journal is for ever, so no secret may be in a State.
// Settings name secrets by their files; of what stands in those files a State has at
// most a Mark, which cannot be computed without a key of the gateway.
package settings

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// State is all settings in force: of each subject, such as "service egrn-extract
// 1.0.0", "party MUNI" or "configuration", name and value. What is not set is absent.
type State map[string]map[string]string

// Of reads the settings out of a struct with yaml tags, as it was read from a file.
// Settings of lists of structs are told apart by their first field, those of other
// lists are one value.
func Of(v any) map[string]string {
	out := map[string]string{}
	flatten(out, "", reflect.ValueOf(v))
	return out
}

func flatten(out map[string]string, path string, v reflect.Value) {
	if v.IsValid() && v.CanInterface() && v.IsZero() {
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		flatten(out, path, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			switch tag, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); {
			case f.Anonymous:
				flatten(out, path, v.Field(i))
			case tag != "" && tag != "-":
				flatten(out, join(path, tag), v.Field(i))
			}
		}
	case reflect.Map:
		for _, key := range slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) }) {
			flatten(out, join(path, key.String()), v.MapIndex(key))
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Struct {
			var list []string
			for i := range v.Len() {
				one := text(v.Index(i))
				if one == "" || strings.ContainsAny(one, ",\"") {
					one = strconv.Quote(one) // two values are not one that has a comma
				}
				list = append(list, one)
			}
			out[path] = strings.Join(list, ", ")
			return
		}
		named := map[string]bool{}
		for i := range v.Len() {
			name := strconv.Itoa(i)
			if f := v.Index(i).Field(0); f.Kind() == reflect.String && f.String() != "" {
				name = f.String()
			}
			if named[name] { // the same field, looked for in another place
				name += "#" + strconv.Itoa(i)
			}
			named[name] = true
			flatten(out, join(path, name), v.Index(i))
		}
	default:
		out[path] = text(v)
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// text is a value as it is told. An address loses its password.
func text(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.String:
		s := v.String()
		if u, err := url.Parse(s); err == nil && u.User != nil {
			return u.Redacted()
		}
		return s
	case v.Kind() == reflect.Int64 && v.Type().Name() == "Period":
		return time.Duration(v.Int()).String()
	}
	return fmt.Sprint(v.Interface())
}

// Mark tells a secret from another without saying anything of it: a keyed digest.
func Mark(key []byte, secret []byte) string {
	m := hmac.New(sha256.New, key)
	io.WriteString(m, "mezhved settings mark\x00")
	m.Write(secret)
	return hex.EncodeToString(m.Sum(nil)[:8])
}

// What happened to a subject.
const (
	Added   = "added"
	Changed = "changed"
	Removed = "removed"
)

// Change is what differs of one subject.
type Change struct {
	Subject string
	What    string // Added, Changed or Removed
	Lines   []Line // by setting
}

// Line is one setting, before and after; empty where it was not set.
type Line struct{ Setting, Before, After string }

// Diff is how to come from one state to the other, by subject.
func Diff(before, after State) []Change {
	subjects := map[string]bool{}
	for _, s := range []State{before, after} {
		for name := range s {
			subjects[name] = true
		}
	}
	var out []Change
	for _, name := range slices.Sorted(maps.Keys(subjects)) {
		was, is := before[name], after[name]
		c := Change{Subject: name, What: Changed}
		switch _, old := before[name]; {
		case !old:
			c.What = Added
		case is == nil:
			c.What = Removed
		}
		names := map[string]bool{}
		for _, s := range []map[string]string{was, is} {
			for setting := range s {
				names[setting] = true
			}
		}
		for _, setting := range slices.Sorted(maps.Keys(names)) {
			if was[setting] != is[setting] {
				c.Lines = append(c.Lines, Line{setting, was[setting], is[setting]})
			}
		}
		if len(c.Lines) > 0 || c.What != Changed {
			out = append(out, c)
		}
	}
	return out
}

// maxText is how much of a change is told, in bytes.
const maxText = 32 << 10

// Text is the change in lines: "deadline: 48h0m0s -> 72h0m0s".
func (c *Change) Text() string {
	var b strings.Builder
	for i, l := range c.Lines {
		if b.Len() > maxText {
			fmt.Fprintf(&b, "and %d more\n", len(c.Lines)-i)
			break
		}
		fmt.Fprintf(&b, "%s: %s -> %s\n", l.Setting, shown(l.Before), shown(l.After))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func shown(s string) string {
	const most = 2000
	switch {
	case s == "":
		return "(not set)"
	case len(s) > most:
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
