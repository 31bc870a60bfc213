package registry_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mezhved/adapter/adaptertest"
	"mezhved/adapter/registry"
)

// BenchmarkReload reads 1,000 services and 10,000 parties with a certificate each,
// changed since the last time: what a SIGHUP costs on a large bus.
func BenchmarkReload(b *testing.B) {
	dir := b.TempDir()
	write := func(content, path string, args ...any) {
		name := filepath.Join(dir, fmt.Sprintf(path, args...))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for i := range 10_000 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: fmt.Sprintf("P%d", i), OrganizationalUnit: []string{"TEST"}},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			b.Fatal(err)
		}
		write(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), "parties/P%d.pem", i)
		write("name: a party\n", "parties/P%d.yaml", i)
	}
	version := 0
	services := func() {
		version++
		for i := range 1000 {
			ns := fmt.Sprintf("urn://mezhved.test/%d/%d", i, version)
			write(adaptertest.Schema(ns), "services/s%d/1.0/s.xsd", i)
			write(fmt.Sprintf("title: a service\nroot: {namespace: '%s', request: ExtractRequest, response: ExtractResponse}\nproviders: P%d\ncallers: [P%d, P%d]\n", ns, i, i+1000, i+2000), "services/s%d/1.0/service.yaml", i)
		}
	}
	services()
	registry, found := registry.Open(filepath.Join(dir, "services"), filepath.Join(dir, "parties"), time.Now)
	if len(found) > 0 {
		b.Fatal(found)
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		services()
		b.StartTimer()
		if found, _ := registry.Reload(nil); len(found) > 0 {
			b.Fatal(found)
		}
	}
}
