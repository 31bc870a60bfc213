package console

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"mezhved/adapter/journal/journaltest"
)

// description is the served document, as JSON.
type description struct {
	t    *testing.T
	root map[string]any
}

func described(d *desk, t *testing.T) description {
	t.Helper()
	a := d.ask("", "/api/openapi.json", nil)
	out := description{t: t}
	if err := json.Unmarshal(a.body, &out.root); err != nil || a.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("the description: %v", err)
	}
	return out
}

func (d description) at(path ...string) any {
	var v any = d.root
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok || m[p] == nil {
			d.t.Fatalf("the description has no %v", path)
		}
		v = m[p]
	}
	return v
}

// keywords are those of JSON Schema that the description uses and check knows.
var keywords = []string{"type", "properties", "required", "additionalProperties", "items", "enum", "format", "pattern", "minimum", "maximum", "description", "$ref"}

// check holds a value against a schema of the description.
func (d description) check(schema map[string]any, v any, at string) error {
	for k := range schema {
		if !slices.Contains(keywords, k) {
			return fmt.Errorf("%s: keyword %s is not known to this test", at, k)
		}
	}
	if ref, ok := schema["$ref"].(string); ok {
		return d.check(d.at("components", "schemas", strings.TrimPrefix(ref, "#/components/schemas/")).(map[string]any), v, at)
	}
	if list, ok := schema["enum"].([]any); ok && !slices.Contains(list, v) {
		return fmt.Errorf("%s: %v is none of %v", at, v, list)
	}
	switch schema["type"] {
	case "object":
		return d.object(schema, v, at)
	case "array":
		list, ok := v.([]any)
		if !ok {
			return fmt.Errorf("%s: %T is no array", at, v)
		}
		for i, e := range list {
			if err := d.check(schema["items"].(map[string]any), e, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case "string":
		s, ok := v.(string)
		if !ok {
			return fmt.Errorf("%s: %T is no string", at, v)
		}
		if p, ok := schema["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(s) {
			return fmt.Errorf("%s: %q does not match %s", at, s, p)
		}
		if layout := map[any]string{"date-time": time.RFC3339Nano, "date": time.DateOnly}[schema["format"]]; layout != "" {
			if _, err := time.Parse(layout, s); err != nil {
				return fmt.Errorf("%s: %w", at, err)
			}
		}
	case "integer":
		n, ok := v.(float64)
		if !ok || n != float64(int64(n)) {
			return fmt.Errorf("%s: %v is no integer", at, v)
		}
		if low, ok := schema["minimum"].(float64); ok && n < low {
			return fmt.Errorf("%s: %v is less than %v", at, n, low)
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			return fmt.Errorf("%s: %T is no boolean", at, v)
		}
	default:
		return fmt.Errorf("%s: type %v", at, schema["type"])
	}
	return nil
}

func (d description) object(schema map[string]any, v any, at string) error {
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: %T is no object", at, v)
	}
	properties := schema["properties"].(map[string]any)
	if schema["additionalProperties"] == false {
		for name := range m {
			if properties[name] == nil {
				return fmt.Errorf("%s: %q is not described", at, name)
			}
		}
	}
	for _, name := range schema["required"].([]any) {
		if _, ok := m[name.(string)]; !ok {
			return fmt.Errorf("%s: %q is missing", at, name)
		}
	}
	for name, one := range m {
		if properties[name] == nil && schema["additionalProperties"] == true {
			continue
		}
		if err := d.check(properties[name].(map[string]any), one, at+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func TestTheDescriptionIsOfTheRealDoors(t *testing.T) {
	d := openDesk(t)
	doc := described(d, t)
	router := chi.NewRouter()
	d.console.Mount(router)
	real := map[string]bool{}
	err := chi.Walk(router, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if path, ok := strings.CutPrefix(route, "/api/v1"); ok {
			real[method+" "+path] = true
		}
		return nil
	})
	d.must(err)
	told := map[string]bool{}
	for path, operations := range doc.at("paths").(map[string]any) {
		for method := range operations.(map[string]any) {
			told[strings.ToUpper(method)+" "+path] = true
		}
	}
	if !maps.Equal(real, told) {
		t.Errorf("doors %v\ndescribed %v", slices.Sorted(maps.Keys(real)), slices.Sorted(maps.Keys(told)))
	}
	// The parameters of a question are those that it takes.
	names := []string{"limit"}
	for _, f := range (&question{}).fields() {
		names = append(names, f.name)
	}
	var described []string
	for _, p := range doc.at("paths", "/journal/entries", "get", "parameters").([]any) {
		described = append(described, p.(map[string]any)["name"].(string))
	}
	slices.Sort(names)
	slices.Sort(described)
	if !slices.Equal(names, described) {
		t.Errorf("parameters %v, described %v", names, described)
	}
}

func TestAnswersAreAsDescribed(t *testing.T) {
	d := openDesk(t, withProbes)
	d.probed()
	doc := described(d, t)
	id := d.exchange()
	waits, _ := d.Exchange("MFC", "REGISTRY", "urn://mezhved.test/extract/1.0")
	incident, _ := d.refused(broken("нет"))
	d.must(d.Gateway.Opened(context.Background()))
	d.fill(200)
	known := map[string]any{"field": "snils", "value": ""}
	for _, e := range journaltest.Events(7, 200) { // what fill has put there
		if len(e.Personal) > 0 {
			known["value"] = e.Personal[0].Value
		}
	}
	message := ok[Trace](d, operatorToken, "/api/v1/journal/trace/"+id).Messages[0].Message
	withOpenings := fmt.Sprint(*ok[Found](d, operatorToken, "/api/v1/journal/entries?kind=accepted&id="+id).Entries[0].Index)
	question := map[string]any{"sender": "MUNI", "order": "oldest", "limit": 5}
	tried := map[string]bool{}
	for _, c := range []struct {
		path, door string
		body       any
		status     string
		token      string
	}{
		{"/overview", "/overview", nil, "200", ""}, {"/queues", "/queues", nil, "200", ""},
		{"/terms", "/terms", nil, "200", ""}, {"/terms?overdue=now&party=REGISTRY", "/terms", nil, "200", auditorToken}, {"/terms?overdue=ever", "/terms", nil, "200", ""}, {"/terms?overdue=x", "/terms", nil, "400", ""}, {"/terms/counts", "/terms/counts", nil, "200", ""},
		{"/alarms/mute", "/alarms/mute", map[string]any{"rule": "late", "seconds": 60, "ground": "planned works"}, "200", ""}, {"/alarms/mute", "/alarms/mute", map[string]any{"rule": "late"}, "400", ""},
		{"/alarms", "/alarms", nil, "200", ""}, {"/alarms/retry", "/alarms/retry", map[string]any{}, "200", ""}, {"/alarms/retry", "/alarms/retry", map[string]any{}, "403", auditorToken},
		{"/health", "/health", nil, "200", ""}, {"/health?service=bad&version=1.0", "/health", nil, "200", auditorToken}, {"/health?service=x&version=1.0", "/health", nil, "404", ""},
		{"/shadow", "/shadow", nil, "200", ""}, {"/services/impact", "/services/impact", ImpactOrder{Sketch: sketchOf(t), From: d.Clock.Now().AddDate(0, 0, -1), Values: true}, "200", ""},
		{"/services/impact", "/services/impact", map[string]any{}, "400", ""}, {"/services/impact", "/services/impact", map[string]any{}, "403", auditorToken},
		{"/services", "/services", nil, "200", ""}, {"/parties", "/parties", nil, "200", ""},
		{"/journal/entries?limit=300", "/journal/entries", nil, "200", ""}, {"/journal/entries?limit=3", "/journal/entries", nil, "200", ""}, {"/journal/entries?x=1", "/journal/entries", nil, "400", ""},
		{"/journal/search", "/journal/search", question, "200", ""}, {"/journal/search", "/journal/search", map[string]any{"x": 1}, "400", ""},
		{"/journal/search", "/journal/search", map[string]any{"person": known, "test": "no"}, "200", ""},
		{"/journal/changes?limit=1", "/journal/changes", nil, "200", ""}, {"/journal/changes?x=1", "/journal/changes", nil, "400", ""},
		{"/journal/readings", "/journal/readings", map[string]any{"exchange": id}, "200", ""}, {"/journal/readings", "/journal/readings", map[string]any{"limit": 1}, "200", ""}, {"/journal/readings", "/journal/readings", map[string]any{"exchange": "x"}, "404", ""},
		{"/journal/readings", "/journal/readings", map[string]any{"x": 1}, "400", ""},
		{"/journal/report", "/journal/report", map[string]any{"person": known}, "200", ""}, {"/journal/report", "/journal/report", map[string]any{}, "400", ""},
		{"/journal/report", "/journal/report", map[string]any{"person": known}, "200", auditorToken}, // with the reading before it
		{"/journal/report/page", "/journal/report/page", map[string]any{"person": known, "lang": "en"}, "200", ""}, {"/journal/report/page", "/journal/report/page", map[string]any{"person": known, "lang": "de"}, "400", ""},
		{"/journal/report/bundle", "/journal/report/bundle", map[string]any{"person": known}, "200", ""}, {"/journal/report/bundle", "/journal/report/bundle", map[string]any{"person": map[string]any{"field": "case", "value": "1"}}, "404", ""},
		{"/journal/totals?by=day,kind,sender,service,version,outcome,channel,test&test=only", "/journal/totals", nil, "200", ""}, {"/journal/totals?by=x", "/journal/totals", nil, "400", ""},
		{"/reports/service", "/reports/{kind}", nil, "200", ""}, {"/reports/quality?period=2026", "/reports/{kind}", nil, "200", ""}, {"/reports/rating?form=text", "/reports/{kind}", nil, "200", ""}, {"/reports/rating?form=html", "/reports/{kind}", nil, "200", ""}, {"/reports/party?form=xlsx", "/reports/{kind}", nil, "200", ""},
		{"/reports/lateness?form=csv&table=bands", "/reports/{kind}", nil, "200", ""}, {"/reports/lateness?form=csv&table=x", "/reports/{kind}", nil, "400", ""}, {"/reports/x", "/reports/{kind}", nil, "400", ""}, {"/reports/service?x=1", "/reports/{kind}", nil, "400", ""},
		{"/journal/entries/" + withOpenings, "/journal/entries/{index}", nil, "200", ""}, {"/journal/entries/" + withOpenings + "?openings=true", "/journal/entries/{index}", nil, "200", ""},
		{"/journal/entries/9999999", "/journal/entries/{index}", nil, "404", ""}, {"/journal/entries/x", "/journal/entries/{index}", nil, "400", ""},
		{"/journal/entries/" + withOpenings + "/proof", "/journal/entries/{index}/proof", nil, "200", ""}, {"/journal/entries/9999999/proof", "/journal/entries/{index}/proof", nil, "404", ""},
		{"/journal/entries/" + withOpenings + "/erase", "/journal/entries/{index}/erase", map[string]any{"fields": []string{"digest"}, "ground": "x"}, "403", auditorToken},
		{"/journal/entries/" + withOpenings + "/erase", "/journal/entries/{index}/erase", map[string]any{"fields": []string{"x"}, "ground": "x"}, "400", ""},
		{"/journal/entries/" + withOpenings + "/erase", "/journal/entries/{index}/erase", map[string]any{"fields": []string{"digest"}, "ground": "x"}, "200", ""},
		{"/journal/export", "/journal/export", nil, "200", ""}, {"/journal/export?format=csv", "/journal/export", nil, "200", ""}, {"/journal/export?format=x", "/journal/export", nil, "400", ""},
		{"/journal/bundle?exchange=" + id, "/journal/bundle", nil, "200", ""}, {"/journal/bundle?exchange=x", "/journal/bundle", nil, "404", ""},
		{"/journal/trace/" + id, "/journal/trace/{id}", nil, "200", ""}, {"/journal/trace/" + incident, "/journal/trace/{id}", nil, "200", ""}, {"/journal/trace/x", "/journal/trace/{id}", nil, "404", ""},
		{"/journal/revocation/" + strings.Repeat("0", 64), "/journal/revocation/{digest}", nil, "404", ""},
		{"/incidents/" + incident + "/envelope", "/incidents/{incident}/envelope", nil, "200", ""}, {"/incidents/x/envelope", "/incidents/{incident}/envelope", nil, "404", ""},
		{"/messages/" + message + "/receipts/REGISTRY/1/poll", "/messages/{message}/receipts/{recipient}/{attempt}/{what}", nil, "200", ""},
		{"/messages/" + message + "/receipts/REGISTRY/2/poll", "/messages/{message}/receipts/{recipient}/{attempt}/{what}", nil, "404", ""},
		{"/messages/" + message + "/envelope", "/messages/{message}/envelope", nil, "200", ""}, {"/messages/x/envelope", "/messages/{message}/envelope", nil, "404", ""},
		{"/queues", "/queues", nil, "401", "wrong"},
		{"/content/erase", "/content/erase", map[string]any{"ids": []string{message}, "preview": true}, "200", ""}, {"/content/erase", "/content/erase", map[string]any{"preview": true}, "200", ""},
		{"/content/erase", "/content/erase", map[string]any{"ids": []string{message}}, "400", ""}, {"/content/erase", "/content/erase", map[string]any{"ids": []string{"x"}, "ground": "x"}, "404", ""},
		{"/content/erase", "/content/erase", map[string]any{"ids": []string{waits}, "ground": "x"}, "409", ""}, {"/content/erase", "/content/erase", map[string]any{"ids": []string{message}, "ground": "x"}, "403", auditorToken},
		{"/content/erase", "/content/erase", map[string]any{"ids": []string{message, incident}, "ground": "x", "expect": 2}, "200", ""},
		{"/messages/" + message + "/envelope", "/messages/{message}/envelope", nil, "410", ""}, {"/incidents/" + incident + "/envelope", "/incidents/{incident}/envelope", nil, "410", ""},
		{"/journal/trace/" + id, "/journal/trace/{id}", nil, "200", ""}, {"/journal/trace/" + incident, "/journal/trace/{id}", nil, "200", ""},
	} {
		token := c.token
		if token == "" {
			token = operatorToken
		}
		a := d.ask(token, "/api/v1"+c.path, c.body)
		method := "get"
		if c.body != nil {
			method = "post"
		}
		tried[method+" "+c.door] = true
		if got := fmt.Sprint(a.StatusCode); got != c.status {
			t.Errorf("%s: %s, want %s: %.300s", c.path, got, c.status, a.body)
			continue
		}
		content := doc.at("paths", c.door, method, "responses", c.status, "content").(map[string]any)
		kind, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";")
		form, ok := content[kind].(map[string]any)
		if !ok {
			t.Errorf("%s: %s is not among the described %v", c.path, kind, slices.Collect(maps.Keys(content)))
			continue
		}
		if !strings.HasSuffix(kind, "json") {
			continue
		}
		var v any
		if err := json.Unmarshal(a.body, &v); err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		if err := doc.check(form["schema"].(map[string]any), v, "answer"); err != nil {
			t.Errorf("%s: %v", c.path, err)
		}
	}
	for path, operations := range doc.at("paths").(map[string]any) {
		for method := range operations.(map[string]any) {
			if !tried[method+" "+path] {
				t.Errorf("%s %s was not tried", method, path)
			}
		}
	}
	// The test's own checker refuses.
	if doc.check(map[string]any{"$ref": "#/components/schemas/Found"}, map[string]any{"entries": []any{map[string]any{"state": "proved", "kind": "x", "time": "2026-01-01T00:00:00Z"}}, "count": 1.0}, "x") == nil {
		t.Error("an entry of no known kind was taken")
	}
}
