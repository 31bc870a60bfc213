package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"mezhved/adapter/journal"
	"mezhved/signing"
)

type keysCmd struct {
	CA      keysCACmd      `cmd:"" name:"ca" help:"Make a test certification authority."`
	New     keysNewCmd     `cmd:"" help:"Make a test key and certificate, of the authority or self-signed."`
	Show    keysShowCmd    `cmd:"" help:"Show certificates: whose, until when, digest, key."`
	Secret  keysSecretCmd  `cmd:"" help:"Make a random secret, such as the key of reply addresses."`
	Journal keysJournalCmd `cmd:"" help:"Make the key that signs the journal's checkpoints, and its public half."`
	Backup  keysBackupCmd  `cmd:"" help:"Make the identity that reads backups, and its recipient."`
}

type keysCACmd struct {
	Name string `default:"Mezhved test CA" help:"Name in the certificate."`
	Type string `default:"ecdsa-p256" help:"Key type: ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, gost-2012-256, gost-2012-512."`
	Out  string `required:"" placeholder:"DIR" help:"Folder for key.pem and cert.pem."`
}

func (keysCACmd) Help() string {
	return "Example:\n  mezhved keys ca --out ca\n\nThe certificate says in its subject that it is for tests."
}

func (c *keysCACmd) Run(io *stdio) error {
	ca, err := signing.NewTestCA(c.Name, signing.KeyType(c.Type), time.Now())
	if err != nil {
		return usage(err)
	}
	return writeIdentity(io, c.Out, &signing.Identity{Certificate: ca.Certificate, Key: ca.Key})
}

type keysNewCmd struct {
	Name string `required:"" help:"Common name in the certificate, such as the system's mnemonic."`
	Org  string `help:"Organisation in the certificate."`
	Type string `default:"ecdsa-p256" help:"Key type: ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, gost-2012-256, gost-2012-512."`
	CA   string `name:"ca" placeholder:"DIR" type:"existingdir" help:"Folder of the authority; without it the certificate is self-signed."`
	Days int    `default:"365" help:"Days of validity from now."`
	Out  string `required:"" placeholder:"DIR" help:"Folder for key.pem and cert.pem."`
}

func (keysNewCmd) Help() string {
	return "Examples:\n  mezhved keys new --name MFC01 --ca ca --out parties/MFC01\n  mezhved keys new --name MFC01 --type gost-2012-256 --out parties/MFC01"
}

func (c *keysNewCmd) Run(io *stdio) error {
	now := time.Now()
	subject := signing.TestSubject{CommonName: c.Name, Organization: c.Org, Key: signing.KeyType(c.Type), Lifetime: time.Duration(c.Days) * 24 * time.Hour}
	if c.CA == "" {
		self, err := signing.SelfSigned(subject, now)
		if err != nil {
			return usage(err)
		}
		return writeIdentity(io, c.Out, self)
	}
	ca, err := loadCA(c.CA)
	if err != nil {
		return usage(err)
	}
	id, err := ca.Issue(subject, now)
	if err != nil {
		return usage(err)
	}
	return writeIdentity(io, c.Out, id)
}

func loadCA(dir string) (*signing.TestCA, error) {
	keyPEM, err := os.ReadFile(filepath.Join(dir, "key.pem"))
	if err != nil {
		return nil, err
	}
	key, err := signing.ParsePrivateKey(keyPEM)
	if err != nil {
		return nil, err
	}
	certs, err := readCertificates([]string{filepath.Join(dir, "cert.pem")})
	if err != nil {
		return nil, err
	}
	return &signing.TestCA{Certificate: certs[0], Key: key}, nil
}

// writeIdentity writes key.pem, for its owner only, and cert.pem. An existing
// key is never overwritten.
func writeIdentity(out *stdio, dir string, id *signing.Identity) error {
	key, cert, err := id.PEM()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return usage(err)
	}
	if err := writeNew(filepath.Join(dir, "key.pem"), key, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "cert.pem"), cert, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(out.out, "%s\n%s\n", filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem"))
	return nil
}

func writeNew(name string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return usage(fmt.Errorf("%s exists and is not overwritten: move it away first", name))
	} else if err != nil {
		return usage(err)
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

type keysShowCmd struct {
	Files []string `arg:"" type:"existingfile" help:"Certificates, PEM or DER."`
	JSON  bool     `name:"json" help:"Print JSON."`
}

func (keysShowCmd) Help() string { return "Example:\n  mezhved keys show parties/MFC01/cert.pem" }

type shownCertificate struct {
	File      string    `json:"file"`
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	Key       string    `json:"key"`
	SHA256    string    `json:"sha256"`
	Warning   string    `json:"warning,omitempty"`
}

func (c *keysShowCmd) Run(out *stdio) error {
	var shown []shownCertificate
	for _, name := range c.Files {
		certs, err := readCertificates([]string{name})
		if err != nil {
			return usage(err)
		}
		for _, cert := range certs {
			s := shownCertificate{File: name, Subject: cert.Subject(), Issuer: cert.Issuer(), NotBefore: cert.NotBefore(), NotAfter: cert.NotAfter(),
				Key: cert.Key(), SHA256: cert.Fingerprint()}
			for _, e := range signing.ExpiringWithin(30*24*time.Hour, time.Now(), cert) {
				s.Warning = e.Warning()
			}
			shown = append(shown, s)
		}
	}
	if c.JSON {
		return printJSON(out.out, shown)
	}
	for _, s := range shown {
		fmt.Fprintf(out.out, "%s\n  subject  %s\n  issuer   %s\n  valid    %s to %s\n  key      %s\n  sha256   %s\n",
			s.File, s.Subject, s.Issuer, s.NotBefore.Format(time.DateTime), s.NotAfter.Format(time.DateTime), s.Key, s.SHA256)
		if s.Warning != "" {
			fmt.Fprintf(out.out, "  %s\n", s.Warning)
		}
	}
	return nil
}

type keysSecretCmd struct {
	Out string `required:"" placeholder:"FILE" help:"File to make."`
}

func (keysSecretCmd) Help() string { return "Example:\n  mezhved keys secret --out replyto.key" }

func (c *keysSecretCmd) Run() error { return writeSecret(c.Out) }

func writeSecret(name string) error {
	secret := make([]byte, 32)
	if _, err := io.ReadFull(rand.Reader, secret); err != nil {
		return err
	}
	return writeNew(name, []byte(base64.StdEncoding.EncodeToString(secret)+"\n"), 0o600)
}

type keysJournalCmd struct {
	MLDSA  bool   `name:"ml-dsa" help:"Make a second key, ML-DSA-44, for journal.mldsa: its signatures hold when Ed25519 does not any more."`
	Origin string `required:"" help:"Name of the log, such as a host name with a path: log.example.gov/mezhved. It never changes."`
	Out    string `required:"" placeholder:"FILE" help:"File of the private key; the public one is written beside it with .pub."`
}

func (keysJournalCmd) Help() string {
	return "Example:\n  mezhved keys journal --origin log.example.gov/mezhved --out journal.key\n\nGive journal.key.pub to auditors: with it they verify the journal. A policy that wants the second key's signature too\n" +
		"names it as it names a witness's:\n\n  log <journal.key.pub>\n  witness mldsa <mldsa.key.pub>\n  quorum mldsa"
}

func (c *keysJournalCmd) Run(out *stdio) error {
	make := journal.NewKey
	if c.MLDSA {
		make = journal.NewMLDSAKey
	}
	public, err := writeJournalKey(make, c.Origin, c.Out)
	if err != nil {
		return err
	}
	fmt.Fprintln(out.out, public)
	return nil
}

func writeJournalKey(make func(string) (string, string, error), origin, name string) (public string, err error) {
	skey, vkey, err := make(origin)
	if err != nil {
		return "", usage(err)
	}
	if err := writeNew(name, []byte(skey+"\n"), 0o600); err != nil {
		return "", err
	}
	return vkey, os.WriteFile(name+".pub", []byte(vkey+"\n"), 0o644)
}
