package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A metric is told of in the source by its options, or by a helper that makes them.
var (
	metricOptions = regexp.MustCompile(`(?s)New(Counter|Gauge|Histogram)(Vec|Func)?\(prometheus\.\w+Opts\{\s*Namespace: "mezhved",( Subsystem: "files",)? Name: "(\w+)",\s*Help: "((?:[^"\\]|\\.)*)"`)
	metricHelpers = regexp.MustCompile(`\b(counter|counters|gauge|gauges)\("(\w+)", "((?:[^"\\]|\\.)*)"((?:, "\w+")*)`)
	metricStages  = regexp.MustCompile(`tally\.NewDurations\("(\w+)", "((?:[^"\\]|\\.)*)", "(\w+)"\)`)
	metricLabels  = regexp.MustCompile(`\[\]string\{((?:"\w+"(?:, )?)+)\}`)
	metricConst   = regexp.MustCompile(`^,\s*ConstLabels: prometheus.Labels\{"(\w+)":`)
)

// Whoever reads a dashboard finds in docs/metrics.md what each metric is, and finds no
// other there.
func TestEveryMetricIsInTheBook(t *testing.T) {
	var rows []string
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), `Namespace: "mezhved"`) {
			return err
		}
		name := func(subsystem, name string) string {
			if subsystem != "" {
				return "mezhved_files_" + name
			}
			return "mezhved_" + name
		}
		labelled := func(list string) string { return strings.ReplaceAll(strings.TrimPrefix(list, ", "), `"`, "") }
		for _, at := range metricOptions.FindAllStringSubmatchIndex(string(text), -1) {
			m := make([]string, len(at)/2)
			for i := range m {
				if at[2*i] >= 0 {
					m[i] = string(text[at[2*i]:at[2*i+1]])
				}
			}
			labels, rest := "", string(text[at[1]:])
			if l := metricLabels.FindStringSubmatch(rest); l != nil && m[2] == "Vec" {
				labels = labelled(l[1])
			} else if l := metricConst.FindStringSubmatch(rest); l != nil {
				labels = l[1]
			}
			rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |", name(m[3], m[4]), strings.ToLower(m[1]), labels, m[5]))
		}
		subsystem := ""
		if strings.Contains(string(text), `Subsystem: "files"`) {
			subsystem = "files"
		}
		for _, m := range metricStages.FindAllStringSubmatch(string(text), -1) {
			rows = append(rows, fmt.Sprintf("| `%s` | histogram | %s | %s |", m[1], m[3], m[2]))
		}
		for _, m := range metricHelpers.FindAllStringSubmatch(string(text), -1) {
			labels := labelled(m[4])
			if strings.HasSuffix(path, "prober.go") {
				labels = "service, version, kind"
			}
			rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |", name(subsystem, m[2]), strings.TrimSuffix(m[1], "s"), labels, m[3]))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(rows)
	rows = slices.Compact(rows) // gateways and routers count panics alike
	book, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	told := regexp.MustCompile("(?m)^\\| `.*$").FindAllString(string(book), -1)
	if !slices.Equal(told, rows) {
		t.Errorf("docs/metrics.md should have these rows:\n%s", strings.Join(rows, "\n"))
	}
	for _, file := range []string{"alerts.yaml", "grafana.json"} {
		text, err := os.ReadFile("../../deploy/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, metric := range regexp.MustCompile(`\bmezhved_[a-z_]+`).FindAllString(string(text), -1) {
			plain := metric
			for _, end := range []string{"_bucket", "_sum", "_count"} {
				plain = strings.TrimSuffix(plain, end)
			}
			if !slices.ContainsFunc(rows, func(row string) bool { return strings.HasPrefix(row, "| `"+plain+"` ") }) {
				t.Errorf("%s: no program has %s", file, metric)
			}
		}
	}
}
