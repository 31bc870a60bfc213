package adapter

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"regexp"
	"strings"

	"mezhved/adapter/yamlfile"
)

// sample is the configuration with every setting and its meaning; what is told of
// settings is told out of it.
//
//go:embed testdata/mezhved.yaml
var sample string

// Setting is one setting of the configuration.
type Setting struct {
	Path     string // dotted
	Meaning  string
	Default  string // as a file has it; empty: there is none
	Variable string // in the environment; empty: the file alone gives it
	Reloads  bool   // comes into force with a reload; else with the next start
	kind     reflect.Type
}

// Settings are all that there are, in the order of the configuration.
func Settings() []Setting {
	var out []Setting
	meanings := meanings(sample)
	variables := map[string]string{}
	for name, setting := range Variables() {
		variables[setting] = name
	}
	defaults := reflect.ValueOf(Config{}.WithDefaults())
	eachSetting(defaults, "", func(path string, v reflect.Value) {
		s := Setting{Path: path, Meaning: meanings[path], Variable: variables[path], Reloads: reloads(path), kind: v.Type()}
		if !v.IsZero() && path != "node" && path != "journal.origin" { // this machine's
			s.Default = yamlfile.Text(v)
		}
		out = append(out, s)
	})
	return out
}

// eachSetting goes over the values of a configuration that are no groups of others.
func eachSetting(v reflect.Value, path string, see func(path string, v reflect.Value)) {
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag.Get("yaml")
		switch name := yamlfile.Join(path, tag); {
		case tag == "" || tag == "-":
		case v.Field(i).Kind() == reflect.Struct:
			eachSetting(v.Field(i), name, see)
		default:
			see(name, v.Field(i))
		}
	}
}

// reloads asks reconfigured whether it takes another value of a setting.
func reloads(path string) bool {
	var running, fresh Config
	for i, c := range []*Config{&running, &fresh} {
		// Such as have what makes a change of the setting one that can be made.
		c.TLS.Certificate, c.Alarms.Rules = "set", "set"
		c.Console.Tokens = []TokenConfig{{Name: "set"}}
		other(at(reflect.ValueOf(c).Elem(), path), i+1)
	}
	next := reconfigured(running, fresh)
	return reflect.DeepEqual(at(reflect.ValueOf(next), path).Interface(), at(reflect.ValueOf(fresh), path).Interface())
}

// other sets a value that is another for another i.
func other(v reflect.Value, i int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprint("value ", i))
	case reflect.Bool:
		v.SetBool(i%2 == 0)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(i))
	case reflect.Float64:
		v.SetFloat(float64(i))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		other(v.Elem(), i)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), i, i))
	}
}

var settingLine = regexp.MustCompile(`^( *)(?:# )?([a-zA-Z0-9]+):(?: +(.*?))??(?: +# ?(.*))?$`)

// meanings reads the comments of the sample, by setting: those beside it, and lines
// below that go on with them.
func meanings(sample string) map[string]string {
	out := map[string]string{}
	var group, last string
	for line := range strings.Lines(sample) {
		line = strings.TrimRight(line, "\n")
		m := settingLine.FindStringSubmatch(line)
		if goesOn := strings.TrimLeft(line, " "); strings.HasPrefix(goesOn, "# ") && len(line)-len(goesOn) > 20 && last != "" {
			out[last] += " " + strings.TrimPrefix(goesOn, "# ")
			continue
		}
		if m == nil {
			last = ""
			continue
		}
		switch depth := len(m[1]) / 2; depth {
		case 0:
			group, last = m[2], m[2]
		case 1:
			last = yamlfile.Join(strings.Split(group, ".")[0], m[2])
			if m[3] == "" {
				group = last
			}
		default:
			last = yamlfile.Join(group, m[2])
		}
		if m[4] != "" {
			out[last] = m[4]
		}
	}
	return out
}

// Show writes a configuration as a file, each value with where it stands.
func (c Config) Show(w io.Writer, origin func(setting string) string) error {
	return show(w, reflect.ValueOf(c), func(path string, v reflect.Value) string {
		switch place := origin(path); {
		case place != "":
			return place
		case v.IsZero():
			return "not set"
		}
		return "default"
	})
}

// ShowDefaults writes what is in force where a file says nothing, each value with its
// meaning.
func ShowDefaults(w io.Writer) error {
	notes := map[string]string{}
	for _, s := range Settings() {
		notes[s.Path] = s.Meaning
	}
	c := Config{}.WithDefaults()
	c.Node, c.Journal.Origin = "", ""
	return show(w, reflect.ValueOf(c), func(path string, _ reflect.Value) string { return notes[path] })
}

// show writes a file of all settings; those that nobody gave are comments.
func show(w io.Writer, c reflect.Value, note func(path string, v reflect.Value) string) error {
	var b strings.Builder
	var group []string
	eachSetting(c, "", func(path string, v reflect.Value) {
		steps := strings.Split(path, ".")
		for depth, step := range steps[:len(steps)-1] {
			if depth >= len(group) || group[depth] != step {
				fmt.Fprintf(&b, "%s%s:\n", strings.Repeat("  ", depth), step)
				group = append(group[:depth:depth], step)
			}
		}
		group = group[:len(steps)-1]
		indent, name := strings.Repeat("  ", len(steps)-1), steps[len(steps)-1]
		line := indent + name + ": " + yamlfile.Text(redacted(v))
		if v.IsZero() {
			line = indent + "# " + name + ":"
		}
		if text := note(path, v); text != "" {
			line = fmt.Sprintf("%-34s # %s", line, text)
		}
		b.WriteString(line + "\n")
	})
	_, err := io.WriteString(w, b.String())
	return err
}

// redacted is a value without a password in an address.
func redacted(v reflect.Value) reflect.Value {
	if v.Kind() == reflect.String {
		if u, err := url.Parse(v.String()); err == nil && u.User != nil {
			return reflect.ValueOf(u.Redacted())
		}
	}
	return v
}

// ConfigSchema is the JSON Schema of the configuration, for editors.
func ConfigSchema() ([]byte, error) {
	root := schemaGroup()
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Configuration of a Mezhved gateway node"
	top := meanings(sample)
	for _, s := range Settings() {
		in, path := root, ""
		steps := strings.Split(s.Path, ".")
		for _, step := range steps[:len(steps)-1] {
			path = yamlfile.Join(path, step)
			properties := in["properties"].(map[string]any)
			if properties[step] == nil {
				g := schemaGroup()
				if top[path] != "" {
					g["description"] = top[path]
				}
				properties[step] = g
			}
			in = properties[step].(map[string]any)
		}
		one := schemaOf(s.kind)
		told := s.Meaning
		if s.Variable != "" {
			told = strings.TrimSpace(told + " In the environment: " + s.Variable + ".")
		}
		if s.Reloads {
			told = strings.TrimSpace(told + " Comes into force with mezhved reload.")
		}
		if told != "" {
			one["description"] = told
		}
		if s.Default != "" {
			one["default"] = jsonDefault(s.kind, s.Default)
		}
		in["properties"].(map[string]any)[steps[len(steps)-1]] = one
	}
	return json.MarshalIndent(root, "", "  ")
}

// jsonDefault is a default as the schema of its setting has it: an editor offers it as it
// is to be written.
func jsonDefault(t reflect.Type, text string) any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[yamlfile.Size](), t == reflect.TypeFor[yamlfile.Period]():
		return text
	case t.Kind() == reflect.Bool, t.Kind() == reflect.Int, t.Kind() == reflect.Int64, t.Kind() == reflect.Float64:
		return json.RawMessage(text)
	}
	return text
}

func schemaGroup() map[string]any {
	return map[string]any{"type": []string{"object", "null"}, "properties": map[string]any{}, "additionalProperties": false}
}

func schemaOf(t reflect.Type) map[string]any {
	switch {
	case t == reflect.TypeFor[yamlfile.Size]():
		return map[string]any{"type": []string{"string", "integer"}, "pattern": `^[0-9.]+ *([KMGkmg]?[Bb])?$`, "minimum": 0, "examples": []string{"64KB", "5MB"}}
	case t == reflect.TypeFor[yamlfile.Period]():
		return map[string]any{"type": "string", "pattern": `^([0-9.]+d|([0-9.]+(ns|us|µs|ms|s|m|h))+|0)$`, "examples": []string{"90s", "15m", "24h", "30d"}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Slice: // one value stands for a list of one
		one := schemaOf(t.Elem())
		return map[string]any{"anyOf": []any{map[string]any{"type": "array", "items": one}, one}}
	case reflect.Struct:
		g := schemaGroup()
		for i := range t.NumField() {
			if tag := t.Field(i).Tag.Get("yaml"); tag != "" && tag != "-" {
				g["properties"].(map[string]any)[tag] = schemaOf(t.Field(i).Type)
			}
		}
		return g
	}
	return map[string]any{"type": []string{"string", "number", "boolean", "null"}}
}
