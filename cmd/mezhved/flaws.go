package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/files"
	"mezhved/adapter/journal"
)

// flaw is something that the configuration names and that cannot be used.
type flaw struct {
	name string // of the thing, in doctor's report
	err  error
}

// flaws reads the keys, certificates and lists that the configuration names as the
// rooms do that use them, and finds all that would be refused there. A node does
// not begin with any, and doctor says the same of them. The bus's signature, the
// desk's tokens and the registry are looked at by those who report more of them.
func flaws(c adapter.Config) (found []flaw) {
	try := func(name, setting string, err error) {
		if err == nil {
			return
		}
		if setting != "" {
			err = fmt.Errorf("%s: %w", setting, err)
		}
		found = append(found, flaw{name, err})
	}
	_, err := c.TLS.Try()
	try("doors", "tls", err)
	if c.Files.Dir != "" {
		if c.FTP.Certificate != c.TLS.Certificate || c.FTP.Key != c.TLS.Key {
			_, err = adapter.TLSConfig{Certificate: c.FTP.Certificate, Key: c.FTP.Key}.Try()
			try("files", "ftp", err)
		}
		_, err = files.UploadPassword(c.FTP)
		try("files", "", err)
	}
	_, _, err = c.LoadVerifier(time.Now)
	try("trust", "", err)
	replies, err := c.LoadReplyKeys()
	try("reply keys", "replyTo.keys", err)
	if len(c.Kafka.SealKeys) > 0 {
		_, err = c.LoadSealKeys(replies)
		try("seal keys", "kafka.sealKeys", err)
	}
	_, err = c.LoadProbeSigner(context.Background(), nil)
	try("probes", "", err)
	if c.Journal.Key != "" {
		try("journal", "", tryJournal(c.Journal))
	}
	return found
}

// tryJournal reads what a node needs to sign the journal.
func tryJournal(c adapter.JournalConfig) error {
	secret, err := os.ReadFile(c.Key)
	if err != nil {
		return fmt.Errorf("journal.key: %w", err)
	}
	skey := strings.TrimSpace(string(secret))
	if _, _, err := journal.KeyOf(skey); err != nil {
		return fmt.Errorf("journal.key: %s: %w; make one with mezhved keys journal", c.Key, err)
	}
	if c.Policy != "" {
		text, err := os.ReadFile(c.Policy)
		if err != nil {
			return fmt.Errorf("journal.policy: %w", err)
		}
		if _, err := journal.ParsePolicy(text); err != nil {
			return fmt.Errorf("journal.policy: %s: %w", c.Policy, err)
		}
	}
	return nil
}
