package registry

import "reflect"

// Setting is one setting of a registry file.
type Setting struct {
	Service bool
	Name    string
}

// Settings lists the settings of service and party files.
func Settings() []Setting {
	var out []Setting
	var walk func(t reflect.Type, service bool)
	walk = func(t reflect.Type, service bool) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return
		}
		for f := range t.Fields() {
			if f.Anonymous {
				walk(f.Type, service)
			}
			if tag := f.Tag.Get("yaml"); tag != "" {
				out = append(out, Setting{service, tag})
				walk(f.Type, service)
			}
		}
	}
	walk(reflect.TypeFor[serviceFile](), true)
	walk(reflect.TypeFor[partyFile](), false)
	return out
}
