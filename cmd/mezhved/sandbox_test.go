package main

import (
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/registry"
)

// Who tries his software as a consumer first and as a provider then, with one key, and
// leaves the provider to the emulator again: each start of the sandbox has what it was told.
func TestSandboxPartiesByItsLastStart(t *testing.T) {
	services, err := filepath.Abs(filepath.Join("..", "..", "testdata", "services"))
	if err != nil {
		t.Fatal(err)
	}
	dir, keys := t.TempDir(), t.TempDir()
	if err := (&keysNewCmd{Name: "PARTNER", Type: "ecdsa-p256", Days: 1, Out: keys}).Run(&stdio{out: io.Discard, err: io.Discard}); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(keys, "cert.pem")
	certs, err := readCertificates([]string{mine})
	if err != nil {
		t.Fatal(err)
	}
	parties := filepath.Join(dir, "parties")
	start := func(own ...string) *registry.Catalog {
		t.Helper()
		c := &sandboxCmd{Services: services, Dir: dir, FTP: "127.0.0.1:0", Haste: 60, Party: own}
		if _, err := c.prepare(dir, services, "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		catalog, found := registry.Lint(services, parties, time.Now())
		if bad := found.Errors(); len(bad) > 0 {
			t.Fatalf("the sandbox could not start: %v", bad)
		}
		return catalog
	}
	holder := func(c *registry.Catalog) registry.Mnemonic {
		if p := c.PartyOf(certs[0].SHA256); p != nil {
			return p.Mnemonic
		}
		return ""
	}

	start()
	if err := register(parties, "TEST0001", certs[0]); err != nil { // as a first call does
		t.Fatal(err)
	}
	if c := start(); holder(c) != "TEST0001" || !c.Party("FNS01").Emulator {
		t.Errorf("a second start: the partner is %q, FNS01 is emulated: %v", holder(c), c.Party("FNS01").Emulator)
	}
	if c := start("FNS01=" + mine); holder(c) != "FNS01" || c.Party("FNS01").Emulator {
		t.Errorf("as FNS01: the partner is %q, FNS01 is emulated: %v", holder(c), c.Party("FNS01").Emulator)
	}
	if c := start("SFR01=" + mine); holder(c) != "SFR01" || !c.Party("FNS01").Emulator {
		t.Errorf("as SFR01: the partner is %q, FNS01 is emulated: %v", holder(c), c.Party("FNS01").Emulator)
	}
	if c := start(); holder(c) != "" || !c.Party("SFR01").Emulator {
		t.Errorf("as nobody: the partner is %q, SFR01 is emulated: %v", holder(c), c.Party("SFR01").Emulator)
	}
	_, err = (&sandboxCmd{Party: []string{"FNS01=" + mine, "SFR01=" + mine}}).own()
	if err == nil || !strings.Contains(err.Error(), "FNS01 has this certificate already") {
		t.Errorf("one certificate for two parties: %v", err)
	}
}

// A folder whose name is too long for a socket in it is no reason not to start: there is
// SIGHUP, and the sandbox says so.
func TestSandboxInAFolderOfALongName(t *testing.T) {
	services, err := filepath.Abs(filepath.Join("..", "..", "testdata", "services"))
	if err != nil {
		t.Fatal(err)
	}
	top := t.TempDir()
	for _, c := range []struct {
		name string
		want string
	}{{"s", "mezhved reload --config "}, {strings.Repeat("s", 100), "kill -HUP "}} {
		dir := filepath.Join(top, c.name)
		config, err := (&sandboxCmd{Services: services, Dir: dir, FTP: "127.0.0.1:0", Haste: 60}).prepare(dir, services, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if got := reread(dir, config.Control); !strings.HasPrefix(got, c.want) {
			t.Errorf("in %s: %q, want %q", dir, got, c.want)
		}
	}
}
