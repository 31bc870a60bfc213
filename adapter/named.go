package adapter

import (
	"fmt"
	"path/filepath"
	"strings"

	"mezhved/adapter/yamlfile"
)

// Named is a file or folder that a setting of the configuration names.
type Named struct {
	Setting string // such as replyTo.keys.0
	Path    string
	Of      NamedOf
}

// NamedOf says what a setting names.
type NamedOf int

// What settings name.
const (
	NamedFile   NamedOf = iota // a file that anybody may see: certificates, lists, rules
	NamedSecret                // a file that nobody else may see: keys, passwords, tokens
	NamedFolder                // a folder that others write and this node reads
	NamedOwn                   // what the node itself writes: it is looked after by name
)

type namedPath struct {
	setting string
	path    *string
	of      NamedOf
}

// named are all settings that name files and folders. What is not here is neither found
// beside the configuration nor kept by a backup.
func (c *Config) named() []namedPath {
	list := []namedPath{
		{"tls.certificate", &c.TLS.Certificate, NamedFile}, {"tls.key", &c.TLS.Key, NamedSecret}, {"tls.clientCAs", &c.TLS.ClientCAs, NamedFile},
		{"control", &c.Control, NamedOwn}, {"services", &c.Services, NamedFolder}, {"parties", &c.Parties, NamedFolder}, {"emulators", &c.Emulators, NamedFolder},
		{"database.urlFile", &c.Database.URLFile, NamedSecret}, {"database.private", &c.Database.Private, NamedOwn},
		{"kafka.private", &c.Kafka.Private, NamedOwn}, {"kafka.cas", &c.Kafka.CAs, NamedFile}, {"kafka.certificate", &c.Kafka.Certificate, NamedFile},
		{"kafka.key", &c.Kafka.Key, NamedSecret}, {"kafka.passwordFile", &c.Kafka.PasswordFile, NamedSecret},
		{"journal.key", &c.Journal.Key, NamedSecret}, {"journal.state", &c.Journal.State, NamedOwn}, {"journal.vault", &c.Journal.Vault, NamedOwn},
		{"journal.mldsa", &c.Journal.MLDSA, NamedSecret}, {"journal.policy", &c.Journal.Policy, NamedFile}, {"journal.retention.dir", &c.Journal.Retention.Dir, NamedFolder},
		{"signature.key", &c.Signature.Key, NamedSecret}, {"signature.certificate", &c.Signature.Certificate, NamedFile}, {"signature.passwordFile", &c.Signature.PasswordFile, NamedSecret},
		{"files.dir", &c.Files.Dir, NamedOwn}, {"ftp.passwordFile", &c.FTP.PasswordFile, NamedSecret}, {"ftp.certificate", &c.FTP.Certificate, NamedFile}, {"ftp.key", &c.FTP.Key, NamedSecret},
		{"alarms.rules", &c.Alarms.Rules, NamedFile}, {"alarms.mail.cas", &c.Alarms.Mail.CAs, NamedFile}, {"alarms.mail.passwordFile", &c.Alarms.Mail.PasswordFile, NamedSecret},
		{"probe.key", &c.Probe.Key, NamedSecret}, {"probe.certificate", &c.Probe.Certificate, NamedFile}, {"probe.passwordFile", &c.Probe.PasswordFile, NamedSecret},
		{"backup.to", &c.Backup.To, NamedOwn}, {"backup.keysTo", &c.Backup.KeysTo, NamedOwn}, {"backup.state", &c.Backup.State, NamedOwn}, {"backup.urlFile", &c.Backup.URLFile, NamedSecret},
		{"backup.s3.credentials", &c.Backup.S3.Credentials, NamedSecret}, {"backup.s3.cas", &c.Backup.S3.CAs, NamedFile},
	}
	for _, of := range []struct {
		setting string
		paths   []string
		of      NamedOf
	}{
		{"replyTo.keys", c.ReplyTo.Keys, NamedSecret}, {"kafka.sealKeys", c.Kafka.SealKeys, NamedSecret}, {"journal.timestamp.anchors", c.Journal.Timestamp.Anchors, NamedFile},
		{"protocols.authorities", c.Protocols.Authorities, NamedFile}, {"trust.roots", c.Trust.Roots, NamedFile}, {"trust.intermediates", c.Trust.Intermediates, NamedFile}, {"trust.crls", c.Trust.CRLs, NamedFile},
		{"backup.recipients", c.Backup.Recipients, NamedFile}, {"backup.keysRecipients", c.Backup.KeysRecipients, NamedFile}, {"backup.also", c.Backup.Also, NamedFolder},
	} {
		for i := range of.paths {
			list = append(list, namedPath{fmt.Sprintf("%s.%d", of.setting, i), &of.paths[i], of.of})
		}
	}
	for i := range c.Console.Tokens {
		list = append(list, namedPath{fmt.Sprintf("console.tokens.%d.file", i), &c.Console.Tokens[i].File, NamedSecret})
	}
	return list
}

// Named gives what the settings name on this machine, but for what the node itself
// writes.
func (c Config) Named() (list []Named) {
	for _, n := range c.named() {
		if *n.path != "" && !isURL(*n.path) && n.of != NamedOwn {
			list = append(list, Named{n.setting, *n.path, n.of})
		}
	}
	return list
}

// BackupConfig says where backups go and who can read them: mezhved backup.
type BackupConfig struct {
	To             string         `yaml:"to"`             // a folder, or s3://bucket/prefix; empty: none are made
	Recipients     []string       `yaml:"recipients"`     // files with recipients (age), one a line: who can read the data
	Keys           string         `yaml:"keys"`           // what becomes of secrets: apart (default), with, none
	KeysTo         string         `yaml:"keysTo"`         // with apart: another folder or bucket, where they are kept for days only
	KeysRecipients []string       `yaml:"keysRecipients"` // who can read the secrets; default: who can read the data
	State          string         `yaml:"state"`          // folder of ours; default: backup beside journal.state
	Also           []string       `yaml:"also"`           // further folders, such as a mirror of the log
	URLFile        string         `yaml:"urlFile"`        // another way to the database for the dump: past a pooler, or to a standby
	S3             BackupS3Config `yaml:"s3"`
}

// What BackupConfig.Keys may say.
const (
	KeysApart = "apart" // in a place of their own
	KeysWith  = "with"  // in the place of the data
	KeysNone  = "none"  // they are kept by other means; files of the file store are then left out
)

// BackupS3Config says how buckets are reached.
type BackupS3Config struct {
	Endpoint    string `yaml:"endpoint"`    // URL; default: Amazon's
	Region      string `yaml:"region"`      //
	Credentials string `yaml:"credentials"` // file as AWS's tools have it; default: what the environment has, or the machine's role
	CAs         string `yaml:"cas"`         // PEM; default: the system's
}

// check names what is wrong with it.
func (b BackupConfig) check(f *yamlfile.File) {
	if b.Keys != KeysApart && b.Keys != KeysWith && b.Keys != KeysNone {
		f.Errorf("backup.keys", "%s, %s or %s is expected, not %q", KeysApart, KeysWith, KeysNone, b.Keys)
	}
	if b.To == "" {
		return
	}
	if len(b.Recipients) == 0 {
		f.Errorf("backup.recipients", "at least one file with a recipient is needed: mezhved keys backup makes one, and the identity that reads what is encrypted to it")
	}
	if b.Keys == KeysApart && b.KeysTo == "" {
		f.Errorf("backup.keysTo", "says where the vault and the keys go, which are to be kept for a shorter time than the data; or set backup.keys: %s when they may lie together, %s when you keep them yourself", KeysWith, KeysNone)
	}
	if b.Keys == KeysApart && b.KeysTo != "" && strings.TrimRight(b.KeysTo, "/") == strings.TrimRight(b.To, "/") {
		f.Errorf("backup.keysTo", "is the place of the data: set backup.keys: %s when that is meant", KeysWith)
	}
}

// withDefaults fills what was left open.
func (b BackupConfig) withDefaults(j JournalConfig) BackupConfig {
	def(&b.Keys, KeysApart)
	if b.State == "" && j.State != "" {
		b.State = filepath.Join(filepath.Dir(j.State), "backup")
	}
	if len(b.KeysRecipients) == 0 {
		b.KeysRecipients = b.Recipients
	}
	return b
}
