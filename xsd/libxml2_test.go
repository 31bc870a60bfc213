//go:build libxml2

package xsd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// BenchmarkLibxml2 is libxml2's SAX validation of the documents of
// BenchmarkParseAndValidate, to be run beside it:
//
//	go test -tags libxml2 -run xxx -bench 'ParseAndValidate|Libxml2' ./xsd
//
// It needs a C compiler and libxml2-dev.
func BenchmarkLibxml2(b *testing.B) {
	dir := b.TempDir()
	driver := filepath.Join(dir, "driver")
	flags, err := exec.Command("pkg-config", "--cflags", "--libs", "libxml-2.0").Output()
	if err != nil {
		flags = []byte("-I/usr/include/libxml2 -lxml2")
	}
	args := append([]string{"-O2", "-o", driver, "testdata/libxml2_driver.c"}, strings.Fields(string(flags))...)
	if out, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		b.Fatalf("cc: %v\n%s", err, out)
	}
	schema := filepath.Join(repository(b), "testdata/xsd/property/request.xsd")
	for _, size := range benchSizes {
		b.Run(size.name, func(b *testing.B) {
			src := propertyDocument(size.size)
			doc := filepath.Join(dir, size.name+".xml")
			if err := os.WriteFile(doc, src, 0o600); err != nil {
				b.Fatal(err)
			}
			out, err := exec.Command(driver, schema, doc, strconv.Itoa(b.N)).Output()
			if err != nil {
				b.Fatal(err)
			}
			ns, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(ns, "ns/op")
			b.ReportMetric(float64(len(src))/ns*1e3, "MB/s")
		})
	}
}
