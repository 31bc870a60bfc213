package adapter

import (
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mezhved/adapter/registry"
	"mezhved/adapter/reports"
	"mezhved/adapter/yamlfile"
)

// check names what cannot work, all of it at once. It looks at the files that are named,
// not at the network.
func (c Config) check(f *yamlfile.File) {
	c.Quality.Read(f, reports.DefaultTarget)
	c.CheckDoors(f)
	c.checkStores(f)
	c.Backup.check(f)
	c.checkKeys(f)
	c.checkBounds(f)
	c.checkJournal(f)
	c.checkKeep(f)
	c.checkFileStore(f)
	c.checkConsole(f)
	c.checkAlarms(f)
	c.checkFiles(f)
}

// CheckDoors names what cannot work in the settings by which OpenDoors goes.
func (c Config) CheckDoors(f *yamlfile.File) {
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		f.Errorf("listen", "an address such as 127.0.0.1:7500 is expected, not %q", c.Listen)
	}
	if c.URL != "" {
		if u, err := url.Parse(c.URL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			f.Errorf("url", "an http or https address is expected, not %q", c.URL)
		}
	}
	if c.tells() == "" {
		f.Errorf("proxyHeader", "%v", errTells(c.ProxyHeader))
	} else if _, err := c.proxies(); err != nil {
		f.Errorf("trustedProxies", "%v", err)
	}
	if (c.TLS.Certificate == "") != (c.TLS.Key == "") {
		f.Errorf("tls", "certificate and key go together")
	}
	if c.TLS.ClientCAs != "" && c.TLS.Certificate == "" {
		f.Errorf("tls.clientCAs", "client certificates need TLS: give certificate and key")
	}
	if c.TLS.RequireClient && c.TLS.ClientCAs == "" {
		f.Errorf("tls.requireClient", "needs clientCAs to verify them against")
	}
}

func (c Config) checkStores(f *yamlfile.File) {
	ways := 0
	for _, v := range []string{c.Database.URL, c.Database.URLFile, c.Database.Private} {
		if v != "" {
			ways++
		}
	}
	if ways != 1 {
		f.Errorf("database", "exactly one of url, urlFile and private is needed")
	}
	if u, err := url.Parse(c.Database.URL); err == nil && u.User != nil {
		if _, has := u.User.Password(); has {
			f.Errorf("database.url", "holds a password: put the whole URL into a file and name it in urlFile")
		}
	}
	if (len(c.Kafka.Brokers) == 0) == (c.Kafka.Private == "") {
		f.Errorf("kafka", "exactly one of brokers and private is needed")
	}
	switch c.Kafka.SASL {
	case "", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
	default:
		f.Errorf("kafka.sasl", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 is expected, not %q", c.Kafka.SASL)
	}
	if c.Kafka.SASL != "" && (c.Kafka.User == "" || c.Kafka.PasswordFile == "") {
		f.Errorf("kafka.sasl", "needs user and passwordFile")
	}
	if (c.Kafka.Certificate == "") != (c.Kafka.Key == "") {
		f.Errorf("kafka.certificate", "certificate and key go together")
	}
	if c.Kafka.Shared < 0 || c.Kafka.Shared > 1000 {
		f.Errorf("kafka.shared", "0 to 1000 partitions are expected")
	}
	if _, err := c.Kafka.Skips(); err != nil {
		f.Errorf("kafka.skip", "%v", err)
	}
	if c.Kafka.Fills != FillsRelay && c.Kafka.Fills != FillsIntake {
		f.Errorf("kafka.fills", "%s or %s is expected, not %q", FillsRelay, FillsIntake, c.Kafka.Fills)
	}
	if c.Kafka.Content != ContentSealed && c.Kafka.Content != ContentPlain {
		f.Errorf("kafka.content", "%s or %s is expected, not %q", ContentSealed, ContentPlain, c.Kafka.Content)
	}
}

func (c Config) checkKeys(f *yamlfile.File) {
	if c.Signature.Key == "" && !c.Signature.Off {
		f.Errorf("signature", "the gateway needs a key to sign its answers (key, certificate); for an emulator set off: true")
	}
	if c.Signature.Key != "" && c.Signature.Certificate == "" && !isPKCS12(c.Signature.Key) {
		f.Errorf("signature.certificate", "is needed with a PEM key")
	}
	if len(c.Trust.CRLs)+len(c.Trust.OCSP)+len(c.Trust.Intermediates) > 0 && len(c.Trust.Roots) == 0 {
		f.Errorf("trust", "revocation and intermediates need roots: who issued a certificate is not known without them")
	}
	if c.Trust.IgnoreDates && len(c.Trust.Roots) > 0 {
		f.Errorf("trust.ignoreDates", "goes with no roots: it leaves chains out too")
	}
	if (c.Probe.Party == "") != (c.Probe.Key == "") {
		f.Errorf("probe", "party and key go together: who asks, and how he signs")
	} else if c.Probe.Key != "" && c.Probe.Certificate == "" && !isPKCS12(c.Probe.Key) {
		f.Errorf("probe.certificate", "is needed with a PEM key")
	} else if c.Probe.Party != "" && c.Probe.Party == c.Name {
		f.Errorf("probe.party", "%s is the gateway itself, which is no party: register one for probes", c.Name)
	}
	if len(c.ReplyTo.Keys) == 0 {
		f.Errorf("replyTo.keys", "at least one file with 32 random bytes is needed (make one with: umask 077; head -c 32 /dev/urandom > replyto.key)")
	}
}

func (c Config) checkBounds(f *yamlfile.File) {
	if c.MessageID.ShelfLife.D() < time.Minute {
		f.Errorf("messageId.shelfLife", "is shorter than a minute")
	}
	if w := c.Limits.Wait.D(); w != 0 && w < 2*time.Second {
		f.Errorf("limits.wait", "2s at least is expected: it is looked at by the second")
	}
	for setting, n := range map[string]int{"limits.perParty": c.Limits.PerParty, "limits.perService": c.Limits.PerService, "queues.perSender": c.Queues.PerSender} {
		if n < 0 {
			f.Errorf(setting, "must not be negative")
		}
	}
	if c.Queues.Lease.D() < time.Second {
		f.Errorf("queues.lease", "is shorter than a second")
	}
	if c.Limits.Content > c.Limits.Body {
		f.Errorf("limits.content", "is larger than limits.body, so it would never be reached")
	}
	if age := c.Limits.PollAge.D(); age != 0 && age < time.Second {
		f.Errorf("limits.pollAge", "is shorter than a second; 0 turns it off")
	}
	if c.Times.Still.D() < 10*time.Second {
		f.Errorf("times.still", "is shorter than ten seconds: what is only busy would be told to stand still")
	}
	if c.Clock.Tell > c.Clock.Refuse || c.Clock.Tell.D() < 100*time.Millisecond {
		f.Errorf("clock.tell", "is expected between 100ms and clock.refuse")
	}
}

func (c Config) checkJournal(f *yamlfile.File) {
	if (c.Journal.Key == "") != (c.Journal.State == "") {
		f.Errorf("journal", "key and state go together: the node that signs the journal has both")
	}
	if c.Journal.MLDSA != "" && c.Journal.Key == "" {
		f.Errorf("journal.mldsa", "is of no use without journal.key: this node signs nothing")
	}
	if t := c.Journal.Timestamp; t.URL != "" && (!isURL(t.URL) || len(t.Anchors) == 0) {
		f.Errorf("journal.timestamp", "url is an http(s) address, and anchors name the authority's roots: a token of anybody else proves nothing")
	} else if t.URL == "" && (len(t.Anchors) > 0 || t.Every > 0) {
		f.Errorf("journal.timestamp", "url is missing")
	} else if t.Every > 0 && t.Every.D() < time.Second {
		f.Errorf("journal.timestamp", "every is shorter than a second")
	}
	if r := c.Journal.Retention; (r.Personal > 0 || r.Envelope > 0) && r.Ground == "" {
		f.Errorf("journal.retention", "forgetting values needs a ground, which the journal will show")
	} else if r.Archive > 0 && r.Dir == "" {
		f.Errorf("journal.retention", "archiving needs a dir")
	}
}

func (c Config) checkKeep(f *yamlfile.File) {
	k := c.Keep
	for _, p := range []struct {
		name string
		keep yamlfile.Period
	}{{"content", k.Content}, {"requests", k.Requests}, {"answers", k.Answers}, {"refused", k.Refused}} {
		if p.keep != 0 && p.keep.D() < registry.LeastKept {
			f.Errorf("retention."+p.name, "is shorter than a day: content ends by whole days")
		}
	}
	if k.Content+k.Requests+k.Answers > 0 && strings.TrimSpace(k.Ground) == "" {
		f.Errorf("retention.ground", "ending content needs a ground, which the journal will show")
	}
	if k.Content+k.Requests+k.Answers > 0 && c.Journal.Vault == "" && c.Journal.Key != "" {
		f.Errorf("retention", "needs journal.vault: content ends with its keys")
	}
}

func (c Config) checkFileStore(f *yamlfile.File) {
	if c.Files.Idle.D() < 10*time.Minute {
		f.Errorf("files.idle", "is shorter than ten minutes: a file must outlive the way from its upload to its message")
	}
	if c.Files.Access.D() < c.Queues.Lease.D() {
		f.Errorf("files.access", "is shorter than queues.lease: readers could not fetch the files of what they were handed")
	}
	if c.Files.File > c.Files.Total || c.Files.File > c.Files.Waiting {
		f.Errorf("files.file", "is larger than files.total or files.waiting, so it would never be reached")
	}
	if _, _, err := net.SplitHostPort(c.FTP.Listen); err != nil {
		f.Errorf("ftp.listen", "an address such as 127.0.0.1:2121 is expected, not %q", c.FTP.Listen)
	}
	if ip := net.ParseIP(c.FTP.Public); c.FTP.Public != "" && ip.To4() == nil {
		f.Errorf("ftp.public", "an IPv4 address is expected, not %q", c.FTP.Public)
	}
	if (c.FTP.Certificate == "") != (c.FTP.Key == "") {
		f.Errorf("ftp", "certificate and key are given together or not at all")
	}
	if c.FTP.RequireTLS && c.FTP.Certificate == "" {
		f.Errorf("ftp.requireTLS", "needs a certificate: ftp.certificate and ftp.key, or tls.certificate and tls.key")
	}
	if _, _, err := c.FTP.DataPorts(); err != nil {
		f.Errorf("ftp.ports", "%v", err)
	}
}

func (c Config) checkConsole(f *yamlfile.File) {
	if _, err := c.Console.Location(); err != nil {
		f.Errorf("console.zone", "a zone such as Asia/Yekaterinburg or UTC is expected, not %q", c.Console.Zone)
	}
	names := map[string]bool{}
	for i, t := range c.Console.Tokens {
		at := fmt.Sprintf("console.tokens.%d", i)
		switch {
		case t.Name == "":
			f.Errorf(at, "name is missing: the journal says by it who has read")
		case names[t.Name]:
			f.Errorf(at, "there are two tokens named %q", t.Name)
		}
		names[t.Name] = true
		if t.Role != "operator" && t.Role != "auditor" {
			f.Errorf(at, "role: operator or auditor is expected, not %q", t.Role)
		}
		if t.File == "" {
			f.Errorf(at, "file is missing (make one with: openssl rand -hex 32 > %s.token)", t.Name)
		}
	}
}

func (c Config) checkAlarms(f *yamlfile.File) {
	m := c.Alarms.Mail
	if m.Server == "" {
		if m.From != "" || m.User != "" {
			f.Errorf("alarms.mail.server", "is missing")
		}
		return
	}
	host, _, err := net.SplitHostPort(m.Server)
	if err != nil {
		f.Errorf("alarms.mail.server", "an address such as smtp.body.example:587 is expected, not %q", m.Server)
	}
	if from, err := mail.ParseAddress(m.From); err != nil || from.Address != m.From {
		f.Errorf("alarms.mail.from", "an address such as mezhved@body.example is expected, not %q", m.From)
	}
	switch m.TLS {
	case "", "starttls", "tls":
	case "none":
		if ip := net.ParseIP(host); host != "localhost" && !ip.IsLoopback() {
			f.Errorf("alarms.mail.tls", "none is for a server on this machine: whoever is on the way to another one would read the mail and the password")
		}
	default:
		f.Errorf("alarms.mail.tls", "starttls, tls or none is expected, not %q", m.TLS)
	}
	if (m.User == "") != (m.PasswordFile == "") {
		f.Errorf("alarms.mail.user", "user and passwordFile go together")
	}
}

func (c Config) checkFiles(f *yamlfile.File) {
	type named struct {
		path, file string
		dir        bool
	}
	files := []named{
		{"tls.certificate", c.TLS.Certificate, false}, {"tls.key", c.TLS.Key, false}, {"tls.clientCAs", c.TLS.ClientCAs, false},
		{"services", c.Services, true}, {"parties", c.Parties, true},
		{"database.urlFile", c.Database.URLFile, false},
		{"kafka.cas", c.Kafka.CAs, false}, {"kafka.certificate", c.Kafka.Certificate, false},
		{"kafka.key", c.Kafka.Key, false}, {"kafka.passwordFile", c.Kafka.PasswordFile, false},
		{"journal.key", c.Journal.Key, false}, {"journal.mldsa", c.Journal.MLDSA, false}, {"journal.policy", c.Journal.Policy, false},
		{"signature.key", c.Signature.Key, false}, {"signature.certificate", c.Signature.Certificate, false},
		{"signature.passwordFile", c.Signature.PasswordFile, false}, {"files.dir", c.Files.Dir, true}, {"ftp.passwordFile", c.FTP.PasswordFile, false}, {"ftp.certificate", c.FTP.Certificate, false}, {"ftp.key", c.FTP.Key, false},
		{"alarms.rules", c.Alarms.Rules, false}, {"alarms.mail.cas", c.Alarms.Mail.CAs, false}, {"alarms.mail.passwordFile", c.Alarms.Mail.PasswordFile, false},
		{"probe.key", c.Probe.Key, false}, {"probe.certificate", c.Probe.Certificate, false}, {"probe.passwordFile", c.Probe.PasswordFile, false},
	}
	for i, k := range c.ReplyTo.Keys {
		files = append(files, named{fmt.Sprintf("replyTo.keys.%d", i), k, false})
	}
	for i, k := range c.Journal.Timestamp.Anchors {
		files = append(files, named{fmt.Sprintf("journal.timestamp.anchors.%d", i), k, false})
	}
	for i, k := range c.Kafka.SealKeys {
		files = append(files, named{fmt.Sprintf("kafka.sealKeys.%d", i), k, false})
	}
	for i, k := range c.Protocols.Authorities {
		files = append(files, named{fmt.Sprintf("protocols.authorities.%d", i), k, false})
	}
	for i, k := range c.Trust.Roots {
		files = append(files, named{fmt.Sprintf("trust.roots.%d", i), k, false})
	}
	for i, k := range c.Trust.Intermediates {
		files = append(files, named{fmt.Sprintf("trust.intermediates.%d", i), k, false})
	}
	for i, k := range c.Trust.CRLs {
		if !isURL(k) {
			files = append(files, named{fmt.Sprintf("trust.crls.%d", i), k, false})
		}
	}
	for i, t := range c.Console.Tokens {
		files = append(files, named{fmt.Sprintf("console.tokens.%d", i), t.File, false})
	}
	for _, n := range files {
		if n.file == "" {
			continue
		}
		info, err := os.Stat(n.file)
		switch {
		case err != nil:
			f.Errorf(n.path, "%v", err)
		case info.IsDir() != n.dir && n.dir:
			f.Errorf(n.path, "%s is not a folder", n.file)
		case info.IsDir() != n.dir:
			f.Errorf(n.path, "%s is a folder, a file is expected", n.file)
		}
	}
}

func isURL(s string) bool {
	return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "s3://")
}

func isPKCS12(name string) bool {
	ext := strings.ToLower(filepath.Ext(name))
	return ext == ".p12" || ext == ".pfx"
}
