package vault_test

import (
	"errors"
	"path/filepath"
	"testing"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/vault"
)

func TestVault(t *testing.T) {
	d := journaltest.NewDesk(t)
	o := journal.Opening{Field: "snils", Class: "personal", Salt: [32]byte{1}, Value: "12345678901"}
	s, err := d.Vault.Seal(5, o)
	if err != nil {
		t.Fatal(err)
	}
	back, err := d.Vault.Unseal(s)
	if err != nil || back != o {
		t.Fatalf("got %+v, %v", back, err)
	}
	moved := s
	moved.Index = 6
	if _, err := d.Vault.Unseal(moved); err == nil {
		t.Error("opened at another entry")
	}
	// A second process with the same directory has the same keys.
	again, err := vault.Open(filepath.Join(d.Dir, "keys"), d.Clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := again.Unseal(s); err != nil || back != o {
		t.Fatalf("got %+v, %v", back, err)
	}
	if gone, err := again.Destroy("personal", d.Clock.Now()); err != nil || len(gone) != 0 {
		t.Errorf("destroyed %v of the running month, %v", gone, err)
	}
	if gone, err := again.Destroy("personal", d.Clock.Now().AddDate(0, 1, 0)); err != nil || len(gone) != 1 {
		t.Errorf("destroyed %v, %v; want the key of one month", gone, err)
	}
	if _, err := again.Unseal(s); !errors.Is(err, vault.ErrKeyDestroyed) {
		t.Errorf("got %v, want ErrKeyDestroyed", err)
	}
}
