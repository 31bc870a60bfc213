package yamlfile

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// Text is a value as a file has it: what Read makes into the same value again. A struct
// and a list stand in one line.
func Text(v reflect.Value) string {
	switch {
	case v.Type() == sizeType:
		return sizeText(Size(v.Int()))
	case v.Type() == periodType:
		return periodText(Period(v.Int()))
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return ""
		}
		return Text(v.Elem())
	case reflect.Slice:
		list := make([]string, v.Len())
		for i := range list {
			list[i] = Text(v.Index(i))
		}
		return "[" + strings.Join(list, ", ") + "]"
	case reflect.Struct:
		var fields []string
		for i := range v.NumField() {
			if tag := v.Type().Field(i).Tag.Get("yaml"); tag != "" && tag != "-" && !v.Field(i).IsZero() {
				fields = append(fields, tag+": "+Text(v.Field(i)))
			}
		}
		return "{" + strings.Join(fields, ", ") + "}"
	case reflect.String:
		out, err := yaml.MarshalWithOptions(v.String(), yaml.JSON())
		if plain := v.String(); err == nil && plain != "" && !strings.ContainsAny(plain, "#:{}[],&*?|<>=!%@`\"'\\\n \t") && !looksLikeAnother(plain) {
			return plain
		}
		return strings.TrimSpace(string(out))
	}
	return fmt.Sprint(v.Interface())
}

// looksLikeAnother says that YAML would take a word for no text.
func looksLikeAnother(s string) bool {
	var v any
	if err := yaml.Unmarshal([]byte(s), &v); err != nil {
		return true
	}
	_, text := v.(string)
	return !text || strings.HasPrefix(s, "-")
}

func sizeText(s Size) string {
	for _, u := range []struct {
		name string
		size Size
	}{{"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}} {
		if s != 0 && s%u.size == 0 {
			return fmt.Sprintf("%d%s", s/u.size, u.name)
		}
	}
	return fmt.Sprint(int64(s))
}

func periodText(p Period) string {
	if day := 24 * time.Hour; p.D() != 0 && p.D()%day == 0 && p.D() != day {
		return fmt.Sprintf("%dd", p.D()/day)
	}
	text := p.D().String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
