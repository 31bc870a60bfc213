//go:build pkcs11

package signing

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const softHSM = "/usr/lib/softhsm/libsofthsm2.so"

// TestPKCS11 signs on a SoftHSM token. It needs the Debian packages softhsm2 and opensc.
func TestPKCS11(t *testing.T) {
	for _, tool := range []string{"softhsm2-util", "pkcs11-tool"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	if _, err := os.Stat(softHSM); err != nil {
		t.Skipf("SoftHSM is not installed: %v", err)
	}
	dir := t.TempDir()
	tokens := filepath.Join(dir, "tokens")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", writeFile(t, filepath.Join(dir, "softhsm2.conf"), []byte("directories.tokendir = "+tokens+"\nobjectstore.backend = file\nlog.level = ERROR\n")))
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
	}
	run("softhsm2-util", "--init-token", "--free", "--label", "mezhved", "--so-pin", "0000", "--pin", "1234")
	pin := writeFile(t, filepath.Join(dir, "pin"), []byte("1234\n"))
	for i, kind := range []KeyType{KeyECDSA256, KeyRSA2048} {
		id := identity(t, kind)
		der, err := x509.MarshalPKCS8PrivateKey(id.Key)
		if err != nil {
			t.Fatal(err)
		}
		keyFile := writeFile(t, filepath.Join(dir, string(kind)+".pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		certFile := writeFile(t, filepath.Join(dir, string(kind)+".der"), id.Certificate.DER)
		number := string(rune('1' + i))
		run("softhsm2-util", "--import", keyFile, "--token", "mezhved", "--label", string(kind), "--id", "0"+number, "--pin", "1234")
		run("pkcs11-tool", "--module", softHSM, "--token-label", "mezhved", "--login", "--pin", "1234", "--write-object", certFile, "--type", "cert", "--label", string(kind), "--id", "0"+number)
	}
	for i, kind := range []KeyType{KeyECDSA256, KeyRSA2048} {
		src := &PKCS11Source{Module: softHSM, Token: "mezhved", PINFile: pin, Label: string(kind)}
		s, err := LoadSigner(context.Background(), KeySource{PKCS11: src})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() { proves(t, s) })
		}
		wg.Wait()
		other := &PKCS11Source{Module: softHSM, Token: "mezhved", PINFile: pin, ID: "0" + string(rune('1'+i))}
		file := writeFile(t, filepath.Join(dir, "other.pem"), identity(t, KeyECDSA384).Certificate.PEM())
		if _, err := LoadSigner(context.Background(), KeySource{PKCS11: other, Certificate: file}); err == nil {
			t.Error("a certificate of another key was accepted")
		}
	}
	for name, src := range map[string]PKCS11Source{
		"no token": {Module: softHSM, Token: "none", PINFile: pin, Label: "x"},
		"no key":   {Module: softHSM, Token: "mezhved", PINFile: pin, Label: "none"},
		"no name":  {Module: softHSM, Token: "mezhved", PINFile: pin},
		"no PIN":   {Module: softHSM, Token: "mezhved", PINFile: filepath.Join(dir, "none"), Label: "x"},
		"module":   {Module: filepath.Join(dir, "none.so"), Token: "mezhved", PINFile: pin, Label: "x"},
	} {
		if _, err := LoadSigner(context.Background(), KeySource{PKCS11: &src}); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
}
