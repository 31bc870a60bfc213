package adapter

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mezhved/adapter/registry"
	"mezhved/adapter/terms"
	"mezhved/adapter/yamlfile"
)

// Config is what an operator decides. The zero value of every field has a
// useful meaning, or is refused by name in Check. Secrets are paths of files.
type Config struct {
	Node    string `yaml:"node"`    // name of this gateway node in the journal; default: the host name
	Contour string `yaml:"contour"` // prefix of fault codes; default mezhved
	Name    string `yaml:"name"`    // mnemonic of the gateway itself as sender of its own messages; default SMEV

	Listen string    `yaml:"listen"` // default 127.0.0.1:7500
	URL    string    `yaml:"url"`    // address under which partners reach the doors, for the WSDL and the console, with a path where a proxy gives them one; default: from the Host header
	TLS    TLSConfig `yaml:"tls"`

	Control string `yaml:"control"` // socket (Unix) on which "mezhved reload" asks the running node; open to the node's own account alone; empty: there is none

	TrustedProxies []string `yaml:"trustedProxies"` // addresses or networks of proxies before the doors; whoever else calls is taken for who he is
	ProxyHeader    string   `yaml:"proxyHeader"`    // in which they tell for whom they call: X-Forwarded-For, Forwarded or PROXY (the protocol, not at the FTP door); default X-Forwarded-For

	Services string `yaml:"services"` // folder; default services
	Parties  string `yaml:"parties"`  // folder; default parties

	Emulators string `yaml:"emulators"` // folder of what emulated parties have under way; default emulators

	Database DatabaseConfig   `yaml:"database"`
	Kafka    KafkaConfig      `yaml:"kafka"`
	Journal  JournalConfig    `yaml:"journal"`
	Keep     KeepConfig       `yaml:"retention"`
	Quality  registry.Quality `yaml:"quality"`

	Protocols registry.Gate `yaml:"protocols"` // what a version needs before it is published; default: nothing but stage: published

	Signature SignatureConfig `yaml:"signature"`
	Trust     TrustConfig     `yaml:"trust"`
	ReplyTo   ReplyToConfig   `yaml:"replyTo"`
	MessageID MessageIDConfig `yaml:"messageId"`
	Limits    LimitsConfig    `yaml:"limits"`
	Queues    QueuesConfig    `yaml:"queues"`
	Times     TimesConfig     `yaml:"times"`
	Clock     ClockConfig     `yaml:"clock"`
	Files     FilesConfig     `yaml:"files"`
	FTP       FTPConfig       `yaml:"ftp"`
	Console   ConsoleConfig   `yaml:"console"`
	Backup    BackupConfig    `yaml:"backup"`
	Alarms    AlarmsConfig    `yaml:"alarms"`
	Probe     ProbeConfig     `yaml:"probe"`
}

// TLSConfig is the transport security of the doors. Without a certificate the
// doors speak plain HTTP, which is right behind a cryptographic gateway only.
type TLSConfig struct {
	Certificate   string `yaml:"certificate"`   // PEM, chain included
	Key           string `yaml:"key"`           // PEM
	ClientCAs     string `yaml:"clientCAs"`     // PEM bundle; client certificates are verified against it
	RequireClient bool   `yaml:"requireClient"` // refuse connections without a client certificate
}

// DatabaseConfig says where PostgreSQL is. One of the two is given, or neither
// for the private server of a demo.
type DatabaseConfig struct {
	URL     string `yaml:"url"`     // without a password
	URLFile string `yaml:"urlFile"` // file with the whole URL, password included
	Private string `yaml:"private"` // directory of a private PostgreSQL that the gateway starts; not for production
}

// KafkaConfig says where the bus is.
type KafkaConfig struct {
	Brokers      []string      `yaml:"brokers"`
	Private      string        `yaml:"private"`      // directory of the in-process broker; not for production
	Replication  int           `yaml:"replication"`  // of topics that are created; default: the cluster's
	Partitions   int           `yaml:"partitions"`   // of topics that are created; default 1
	Shared       int           `yaml:"shared"`       // topics of parties that poll: one for all requests and one for all answers, of so many partitions; default 0: each party has its own two
	TLS          bool          `yaml:"tls"`          //
	CAs          string        `yaml:"cas"`          // PEM bundle; default: the system's
	Certificate  string        `yaml:"certificate"`  // PEM, for client authentication
	Key          string        `yaml:"key"`          // PEM
	SASL         string        `yaml:"sasl"`         // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; empty: none
	User         string        `yaml:"user"`         //
	PasswordFile string        `yaml:"passwordFile"` //
	Group        string        `yaml:"group"`        // consumer group of the intake; default: the prefix and -intake
	Prefix       string        `yaml:"prefix"`       // of topics; default mezhved
	MaxRecord    yamlfile.Size `yaml:"maxRecord"`    // larger messages travel without their body, which stays in the store; default 900KB
	Content      string        `yaml:"content"`      // sealed (default): records that gateways read bear content encrypted with the vault's keys; plain: as it is, for programs that read those topics beside them
	Fills        string        `yaml:"fills"`        // who puts into its queue what has gone to the bus: relay (default), when the bus has acknowledged it; intake, when the bus gives it back
	SealKeys     []string      `yaml:"sealKeys"`     // files of 32 or more random bytes (raw or base64) that prove records to be ours; the first seals, all verify; default: made from replyTo.keys
	Skip         []string      `yaml:"skip"`         // places on the bus that nobody can read and that the intake passes over: topic/partition@offset or topic/partition@first-last
}

// Skips are the places that the intake passes over.
func (k KafkaConfig) Skips() (skips []Skip, err error) {
	for _, text := range k.Skip {
		s, bad := ParseSkip(text)
		skips, err = append(skips, s), errors.Join(err, bad)
	}
	return skips, err
}

// What KafkaConfig.Content may say.
const (
	ContentSealed = "sealed"
	ContentPlain  = "plain"
)

// What KafkaConfig.Fills may say.
const (
	FillsRelay  = "relay"
	FillsIntake = "intake"
)

// JournalConfig is the evidence log's identity.
type JournalConfig struct {
	Origin string `yaml:"origin"` // C2SP log origin, which is the key's; default: that, and without a key mezhved.local/<node>
	Key    string `yaml:"key"`    // file with the note signer's key
	State  string `yaml:"state"`  // file with the last signed size and root, kept apart from the database
	Vault  string `yaml:"vault"`  // folder with the keys of content and of the values behind the entries, the same for all nodes, kept apart from the database; default: vault beside state
	MLDSA  string `yaml:"mldsa"`  // file with a second key, ML-DSA-44, which signs checkpoints too; empty: none
	Policy string `yaml:"policy"` // file with the log's key and its witnesses (C2SP tlog-policy); empty: no witnesses

	Timestamp TimestampConfig `yaml:"timestamp"`
	Retention RetentionConfig `yaml:"retention"`
}

// TimestampConfig says who puts his time to the journal's checkpoints. The node that
// signs asks.
type TimestampConfig struct {
	URL     string          `yaml:"url"`     // of a time-stamping authority (RFC 3161); empty: nobody is asked
	Anchors []string        `yaml:"anchors"` // PEM files with the roots of the authority, or its own certificate; needed with url
	Every   yamlfile.Period `yaml:"every"`   // default 1m
}

// RetentionConfig says how long what stands behind the journal's entries is
// kept. The entries' commitments and the proofs stay for ever.
type RetentionConfig struct {
	Personal yamlfile.Period `yaml:"personal"` // values about people; default: for ever
	Envelope yamlfile.Period `yaml:"envelope"` // digests of envelopes; default: for ever
	Ground   string          `yaml:"ground"`   // the legal ground, as the journal will show it; needed with either
	Archive  yamlfile.Period `yaml:"archive"`  // entries older than this leave the database for dir, 45d at least; default: they stay
	Dir      string          `yaml:"dir"`      // of the archive, in the layout of tlog-tiles
}

// KeepConfig says how long content is kept: bodies and attachments of messages, and
// what is kept of refused calls. A service may say otherwise for its own. What is
// still on its way stays until it is not.
type KeepConfig struct {
	Content  yamlfile.Period `yaml:"content"`  // of messages; default: for ever
	Requests yamlfile.Period `yaml:"requests"` // of requests and broadcasts; default: content
	Answers  yamlfile.Period `yaml:"answers"`  // of what answers them; default: content
	Refused  yamlfile.Period `yaml:"refused"`  // bytes of refused calls; default 30d
	Ground   string          `yaml:"ground"`   // the legal ground, as the journal will show it; needed with any of them
	FourEyes bool            `yaml:"fourEyes"` // an operator's order to erase content needs another operator's confirmation
}

// For is how long the content of a service's requests, or of its answers, is kept,
// by the configuration and the versions of the service that there are; 0 is for ever.
func (k KeepConfig) For(c *registry.Catalog, service string, request bool) time.Duration {
	keep, own := k.Answers, func(s *registry.Service) time.Duration { return s.KeepAnswers }
	if request {
		keep, own = k.Requests, func(s *registry.Service) time.Duration { return s.KeepRequests }
	}
	if keep == 0 {
		keep = k.Content
	}
	longest := time.Duration(0)
	for _, s := range c.Versions(service) {
		longest = max(longest, own(s)) // one class of keys for all of them
	}
	if longest > 0 {
		return longest
	}
	return keep.D()
}

// SignatureConfig is the gateway's own key: the "bus signature" on answers.
type SignatureConfig struct {
	Key          string `yaml:"key"`          // PEM or PKCS#12
	Certificate  string `yaml:"certificate"`  // PEM; not with PKCS#12
	PasswordFile string `yaml:"passwordFile"` // of the PKCS#12
	Off          bool   `yaml:"off"`          // answers are not signed (emulators only)
}

// TrustConfig is what callers' certificates are held against beside their
// registration. Without roots the registration of the exact certificate is the
// trust, and an official's personal signature proves no more than that its
// certificate's key made it.
type TrustConfig struct {
	Roots         []string `yaml:"roots"`         // PEM files
	Intermediates []string `yaml:"intermediates"` // PEM files
	CRLs          []string `yaml:"crls"`          // files or http(s) addresses; addresses in certificates are never followed
	OCSP          []string `yaml:"ocsp"`          // http(s) addresses
	FailOpen      bool     `yaml:"failOpen"`      // accept what no list and no responder could tell about; each is counted and stands in its journal entry
	Algorithms    []string `yaml:"algorithms"`    // URIs of signature algorithms; default: all but legacy ones
	IgnoreDates   bool     `yaml:"ignoreDates"`   // accept expired certificates (for old test material only)
}

// ReplyToConfig holds the keys of reply addresses. The first makes, all verify.
type ReplyToConfig struct {
	Keys []string `yaml:"keys"` // files of 32 or more random bytes (raw or base64)
}

// MessageIDConfig says which MessageIDs are good (MR 3.3, section 3.2.1).
type MessageIDConfig struct {
	AnyUUID   bool            `yaml:"anyUuid"`   // accept UUIDs that are not version 1; their age cannot be told
	ShelfLife yamlfile.Period `yaml:"shelfLife"` // default 24h
	Skew      yamlfile.Period `yaml:"skew"`      // how far in the future an id may be; default 5m
	Strict    bool            `yaml:"strict"`    // answer MessageIsAlreadySent also to a repetition of the same message
}

// LimitsConfig bounds what one call, one caller and one queue may cost.
type LimitsConfig struct {
	Body        yamlfile.Size    `yaml:"body"`        // HTTP body; default 16MB
	Content     yamlfile.Size    `yaml:"content"`     // structured part of a message (MR 3.3, section 3.8); default 5MB
	Attachments yamlfile.Size    `yaml:"attachments"` // inline attachments of one message, decoded; default 5MB
	Depth       int              `yaml:"depth"`       // nested elements; default 100
	Memory      yamlfile.Size    `yaml:"memory"`      // bytes that calls hold at once (bodies, their markup, copies): half of them for strangers, a quarter for one caller, the last eighth for small calls; past it callers get 503; the process stays within some 250MB more; default 512MB
	PollAge     *yamlfile.Period `yaml:"pollAge"`     // how far the Timestamp of a poll may be from our clock, either way; default 5m; 0: any
	Concurrent  int              `yaml:"concurrent"`  // calls at work at once; more wait, then get 503; default 256
	PerParty    int              `yaml:"perParty"`    // of them of one party, unless its registration says otherwise; more wait, then get 429; default: half
	PerService  int              `yaml:"perService"`  // and requests of one service; default: three quarters
	PerSecond   float64          `yaml:"perSecond"`   // calls of one party; default 2000
	Burst       int              `yaml:"burst"`       // default: the rate of two seconds
	Wait        yamlfile.Period  `yaml:"wait"`        // how long what was accepted may wait for the bus, its queue or its place in the log before parties are told to send fewer requests; default 0: for ever
	Strangers   float64          `yaml:"strangers"`   // refused calls a second from one address (IPv6: one /64) before it is told to wait; default 5
	Kept        yamlfile.Size    `yaml:"kept"`        // bytes kept of a refused call; default 256KB
	KeptPerMin  int              `yaml:"keptPerMin"`  // refused calls kept in a minute of each that a stranger seems to be; all together that many times kept bytes; default 20
}

// QueuesConfig is how queues behave.
type QueuesConfig struct {
	Lease     yamlfile.Period `yaml:"lease"`     // default 15m (MR 3.3, section 2.5.2)
	Limit     int             `yaml:"limit"`     // messages in one queue before DestinationOverflow; default 1,000,000
	PerSender int             `yaml:"perSender"` // of them requests of one sender, unless its registration says otherwise; default: half
	LongPoll  yamlfile.Period `yaml:"longPoll"`  // longest wait that a poll may ask for (Prefer: wait=N); default 20s
}

// TimesConfig is how often loops look round when nobody wakes them.
type TimesConfig struct {
	Relay    yamlfile.Period `yaml:"relay"`    // default 2s
	Poll     yamlfile.Period `yaml:"poll"`     // re-check of waiting polls, for messages queued by another node; default 1s
	Sweep    yamlfile.Period `yaml:"sweep"`    // default 2s
	Depths   yamlfile.Period `yaml:"depths"`   // default 5s
	Streams  yamlfile.Period `yaml:"streams"`  // how far providers have read their topics (delivery: stream); default 5s
	Terms    yamlfile.Period `yaml:"terms"`    // how often what comes due and what is late is looked for; default 2s
	Grace    yamlfile.Period `yaml:"grace"`    // how long after its moment something is told to be late: what was answered before it may be on its way into the log; default 20s
	Watch    yamlfile.Period `yaml:"watch"`    // how long things have waited, and whether all topics are there; default 5s
	Summary  yamlfile.Period `yaml:"summary"`  // journal summaries of refused strangers; default 1m
	Still    yamlfile.Period `yaml:"still"`    // what waits longer at one station is told to stand still (/readyz, metrics, log); default 1m
	Request  yamlfile.Period `yaml:"request"`  // longest time a call may take; default 30s
	Shutdown yamlfile.Period `yaml:"shutdown"` // how long open calls are waited for; default 10s
}

// ClockConfig says how far this machine's clock may be from the database's, which
// all nodes go by. Beyond Refuse one of the two is wrong by as much as the
// protocol allows a sender's clock to be (messageId.skew, limits.pollAge): honest
// senders would be refused and stale polls taken, and nobody knows by which.
type ClockConfig struct {
	Tell   yamlfile.Period `yaml:"tell"`   // a larger difference is told: log, metric, doctor; default 2s, which synchronised machines never have
	Refuse yamlfile.Period `yaml:"refuse"` // a larger one, when it lasts a minute, stops accepting (503); default 5m
}

// FilesConfig is the file store, for files too large to travel in messages.
// Without a folder there is none, and messages that refer to one are refused.
type FilesConfig struct {
	Dir       string          `yaml:"dir"`       // folder of the files, shared by all nodes
	File      yamlfile.Size   `yaml:"file"`      // one file; default 1GB
	Message   yamlfile.Size   `yaml:"message"`   // the files of one message together (MR 3.3, section 5); default 1GB
	Waiting   yamlfile.Size   `yaml:"waiting"`   // files from one address (IPv6: one /64) that no message refers to yet; default 4GB
	Sender    yamlfile.Size   `yaml:"sender"`    // files in messages of one sender that wait; default 20GB
	Recipient yamlfile.Size   `yaml:"recipient"` // files in messages that wait for one recipient; default 50GB
	Total     yamlfile.Size   `yaml:"total"`     // all files; default 100GB
	Idle      yamlfile.Period `yaml:"idle"`      // a file that no message refers to is removed after this; default 24h
	S3        bool            `yaml:"s3"`        // a door for clients of S3 beside the SOAP doors, at /attachment
	Access    yamlfile.Period `yaml:"access"`    // an account that a poll gave is good so long, at most until the Ack; default 24h
}

// FTPConfig is the door of the file store.
type FTPConfig struct {
	Listen       string          `yaml:"listen"`       // default 127.0.0.1:2121
	Public       string          `yaml:"public"`       // IPv4 address told to clients for data connections; default: the one that they reached
	Ports        string          `yaml:"ports"`        // of data connections, such as 50000-50099; default: any
	PasswordFile string          `yaml:"passwordFile"` // the password of the login anonymous, under which files are brought; default: any, because the one that the protocol's toolset ships with is known to everybody
	Certificate  string          `yaml:"certificate"`  // PEM, chain included, for AUTH TLS; default: the one of the other doors; without any there is no TLS
	Key          string          `yaml:"key"`          // PEM
	RequireTLS   bool            `yaml:"requireTLS"`   // no login and no transfer in the clear
	Connections  int             `yaml:"connections"`  // at once; default 200
	PerAddress   int             `yaml:"perAddress"`   // of these from one address (IPv6: one /64); default 20
	Silence      yamlfile.Period `yaml:"silence"`      // a connection on which nothing comes is closed after this; default 5m
	Stall        yamlfile.Period `yaml:"stall"`        // a transfer on which nothing moves breaks off after this; default 1m
}

// ConsoleConfig says who may sit down at the desk of operators and auditors, in
// a browser and over its API. Without tokens the desk is closed.
type ConsoleConfig struct {
	Tokens []TokenConfig `yaml:"tokens"`
	Zone   string        `yaml:"zone"` // of the times on its pages, such as Asia/Yekaterinburg; default: Moscow
}

// AlarmsConfig says who is told of what comes due and is late, and how: see package
// alarms.
type AlarmsConfig struct {
	Rules string     `yaml:"rules"` // file; empty: nobody is told
	Mail  MailConfig `yaml:"mail"`
}

// ProbeConfig is who asks when services are probed for real (probe.full of a service):
// a party of its own, registered like any other. See package lifecycle/probe.
type ProbeConfig struct {
	Party        string `yaml:"party"`        // mnemonic; empty: nobody asks
	Key          string `yaml:"key"`          // PEM or PKCS#12
	Certificate  string `yaml:"certificate"`  // PEM; not with PKCS#12
	PasswordFile string `yaml:"passwordFile"` // of the PKCS#12
}

// MailConfig is the server by which mail goes.
type MailConfig struct {
	Server       string `yaml:"server"` // host:port
	TLS          string `yaml:"tls"`    // starttls (default), tls, or none, for a server on this machine
	CAs          string `yaml:"cas"`    // PEM; default: the system's
	User         string `yaml:"user"`
	PasswordFile string `yaml:"passwordFile"`
	From         string `yaml:"from"`
}

// Location is the zone of the desk's pages.
func (c ConsoleConfig) Location() (*time.Location, error) {
	if c.Zone == "" {
		return terms.Moscow, nil
	}
	return time.LoadLocation(c.Zone)
}

// TokenConfig is one person or program that is let in.
type TokenConfig struct {
	Name string `yaml:"name"` // of the person or program, for the journal
	Role string `yaml:"role"` // operator or auditor
	File string `yaml:"file"` // holds the token alone: 20 characters or more, random
}

// LoadConfig reads a configuration file under this process's environment. The error holds
// every mistake in it as Findings. Relative paths are taken from the file's own folder.
func LoadConfig(file string) (Config, error) {
	c, _, err := LoadConfigUnder(file, os.Environ())
	return c, err
}

// LoadConfigUnder is LoadConfig under an environment, and says where each value stands:
// origin is the file with the line, the name in the environment, or empty for a default.
func LoadConfigUnder(file string, environment []string) (c Config, origin func(setting string) string, err error) {
	c, f := readConfig(file, environment)
	if f.Broken {
		return c, f.Origin, yamlfile.Findings(f.Findings)
	}
	c.check(f)
	if bad := yamlfile.Findings(f.Findings).Errors(); len(bad) > 0 {
		return c, f.Origin, bad
	}
	return c, f.Origin, nil
}

// ReadConfig is LoadConfig for who is about to put in place what the configuration
// names: it looks at no file but that one.
func ReadConfig(file string) (Config, error) {
	c, f := readConfig(file, os.Environ())
	if bad := yamlfile.Findings(f.Findings).Errors(); len(bad) > 0 {
		return c, bad
	}
	return c, nil
}

func readConfig(file string, environment []string) (c Config, f *yamlfile.File) {
	f = yamlfile.Read(file, &c)
	if f.Broken {
		return c, f
	}
	c.overridden(f, environment)
	c.resolve(filepath.Dir(file))
	return c.WithDefaults(), f
}

// DefaultOrigin is the log's name when nobody has chosen one. A node that has the
// log's key begins it under the key's.
func (c Config) DefaultOrigin() string { return "mezhved.local/" + c.Node }

// WithDefaults fills what was left open.
func (c Config) WithDefaults() Config {
	host, _ := os.Hostname()
	def(&c.Node, host)
	def(&c.Node, "node")
	def(&c.Contour, "mezhved")
	def(&c.Name, "SMEV")
	def(&c.Listen, "127.0.0.1:7500")
	def(&c.ProxyHeader, tellsForwardedFor)
	def(&c.Services, "services")
	def(&c.Parties, "parties")
	def(&c.Emulators, "emulators")
	def(&c.Kafka.Prefix, "mezhved")
	def(&c.Kafka.Group, c.Kafka.Prefix+"-intake") // two installations on one cluster are no one group
	def(&c.Kafka.Partitions, 1)
	def(&c.Kafka.MaxRecord, 900<<10)
	def(&c.Kafka.Content, ContentSealed)
	def(&c.Kafka.Fills, FillsRelay)
	def(&c.Journal.Origin, c.DefaultOrigin())
	if c.Journal.State != "" {
		def(&c.Journal.Vault, filepath.Join(filepath.Dir(c.Journal.State), "vault"))
	}
	c.Backup = c.Backup.withDefaults(c.Journal)
	def(&c.Keep.Refused, yamlfile.Period(30*24*time.Hour))
	def(&c.MessageID.ShelfLife, yamlfile.Period(24*time.Hour))
	def(&c.MessageID.Skew, yamlfile.Period(5*time.Minute))
	def(&c.Limits.Body, 16<<20)
	def(&c.Limits.Content, 5<<20)
	def(&c.Limits.Attachments, 5<<20)
	def(&c.Limits.Depth, 100)
	def(&c.Limits.PollAge, new(yamlfile.Period(5*time.Minute)))
	def(&c.Limits.Memory, 512<<20)
	def(&c.Limits.Concurrent, 256)
	def(&c.Limits.PerParty, (c.Limits.Concurrent+1)/2)
	def(&c.Limits.PerService, max(c.Limits.Concurrent*3/4, 1))
	def(&c.Limits.PerSecond, 2000)
	def(&c.Limits.Burst, int(2*c.Limits.PerSecond)+1)
	def(&c.Limits.Strangers, 5)
	def(&c.Limits.Kept, 256<<10)
	def(&c.Limits.KeptPerMin, 20)
	def(&c.Queues.Lease, yamlfile.Period(15*time.Minute))
	def(&c.Queues.Limit, 1_000_000)
	def(&c.Queues.PerSender, (c.Queues.Limit+1)/2)
	def(&c.Queues.LongPoll, yamlfile.Period(20*time.Second))
	def(&c.Times.Relay, yamlfile.Period(2*time.Second))
	def(&c.Times.Poll, yamlfile.Period(time.Second))
	def(&c.Times.Sweep, yamlfile.Period(2*time.Second))
	def(&c.Times.Terms, yamlfile.Period(2*time.Second))
	def(&c.Times.Grace, yamlfile.Period(20*time.Second))
	def(&c.Times.Depths, yamlfile.Period(5*time.Second))
	def(&c.Times.Streams, yamlfile.Period(5*time.Second))
	def(&c.Times.Watch, yamlfile.Period(5*time.Second))
	def(&c.Times.Summary, yamlfile.Period(time.Minute))
	def(&c.Times.Still, yamlfile.Period(time.Minute))
	def(&c.Times.Request, yamlfile.Period(30*time.Second))
	def(&c.Times.Shutdown, yamlfile.Period(10*time.Second))
	def(&c.Clock.Tell, yamlfile.Period(2*time.Second))
	def(&c.Clock.Refuse, yamlfile.Period(5*time.Minute))
	def(&c.Files.File, 1<<30)
	def(&c.Files.Message, 1<<30)
	def(&c.Files.Waiting, 4<<30)
	def(&c.Files.Sender, 20<<30)
	def(&c.Files.Recipient, 50<<30)
	def(&c.Files.Total, 100<<30)
	def(&c.Files.Idle, yamlfile.Period(24*time.Hour))
	def(&c.Files.Access, yamlfile.Period(24*time.Hour))
	def(&c.FTP.Listen, "127.0.0.1:2121")
	if c.FTP.Certificate == "" && c.FTP.Key == "" {
		c.FTP.Certificate, c.FTP.Key = c.TLS.Certificate, c.TLS.Key
	}
	def(&c.FTP.Connections, 200)
	def(&c.FTP.PerAddress, 20)
	def(&c.FTP.Silence, yamlfile.Period(5*time.Minute))
	def(&c.FTP.Stall, yamlfile.Period(time.Minute))
	return c
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// resolve makes relative paths relative to dir.
func (c *Config) resolve(dir string) {
	def(&c.Services, "services")
	def(&c.Parties, "parties")
	def(&c.Emulators, "emulators")
	for _, n := range c.named() {
		if *n.path != "" && !isURL(*n.path) && !filepath.IsAbs(*n.path) {
			*n.path = filepath.Join(dir, *n.path)
		}
	}
}

// PathPrefix is the path of URL, without its last slash: where a proxy has put the
// doors.
func (c Config) PathPrefix() string {
	u, err := url.Parse(c.URL)
	if err != nil {
		return ""
	}
	return strings.TrimRight(u.EscapedPath(), "/")
}

// DataPorts reads Ports; 0 and 0 stand for any.
func (c FTPConfig) DataPorts() (from, to int, err error) {
	if c.Ports == "" {
		return 0, 0, nil
	}
	if n, _ := fmt.Sscanf(c.Ports, "%d-%d", &from, &to); n != 2 || fmt.Sprintf("%d-%d", from, to) != c.Ports || from < 1 || to < from || to > 65535 {
		return 0, 0, fmt.Errorf("a range such as 50000-50099 is expected, not %q", c.Ports)
	}
	return from, to, nil
}
