package alarms

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"embed"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/terms"
)

// Mailer sends mail by one server.
type Mailer struct {
	from, domain string
	client       func(context.Context) (*mail.Client, error)
}

// NewMailer makes a Mailer; nil for a configuration without a server.
func NewMailer(c adapter.MailConfig) (*Mailer, error) {
	if c.Server == "" {
		return nil, nil
	}
	host, port, err := net.SplitHostPort(c.Server)
	if err != nil {
		return nil, fmt.Errorf("alarms.mail.server: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("alarms.mail.server: %w", err)
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if c.CAs != "" {
		pem, err := os.ReadFile(c.CAs)
		if err != nil {
			return nil, err
		}
		secure.RootCAs = x509.NewCertPool()
		if !secure.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("alarms.mail.cas: %s holds no certificate", c.CAs)
		}
	}
	var within *tls.Config // of a connection that begins with TLS
	options := []mail.Option{mail.WithPort(number), mail.WithTLSConfig(secure), mail.WithTimeout(20 * time.Second)}
	switch c.TLS {
	case "tls":
		within = secure
		options = append(options, mail.WithSSL())
	case "none":
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if c.User != "" {
		password, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return nil, err
		}
		secret := strings.TrimRight(string(password), "\r\n")
		if within != nil { // the library knows of no TLS that it has not begun, and would look for no plain password
			options = append(options, mail.WithSMTPAuthCustom(&withinTLS{user: c.User, password: secret, host: host}))
		} else {
			options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(c.User), mail.WithPassword(secret))
		}
	}
	_, domain, _ := strings.Cut(c.From, "@")
	return &Mailer{from: c.From, domain: domain, client: func(ctx context.Context) (*mail.Client, error) {
		dial := func(dialing context.Context, network, address string) (net.Conn, error) {
			return dialUntil(ctx, dialing, network, address, within)
		}
		return mail.NewClient(host, append(slices.Clone(options), mail.WithDialContextFunc(dial))...)
	}}, nil
}

// dialUntil connects to a mail server. The connection ends with ctx: the library reads
// the greeting, and all until the mail itself, without a deadline, so a server that says
// nothing would hold it for ever.
func dialUntil(ctx, dialing context.Context, network, address string, within *tls.Config) (net.Conn, error) {
	raw, err := new(net.Dialer).DialContext(dialing, network, address)
	if err != nil {
		return nil, err
	}
	raw = &brief{raw, mostWords}
	context.AfterFunc(ctx, func() { raw.Close() })
	if within == nil {
		return raw, nil
	}
	c := tls.Client(raw, within)
	if err := c.HandshakeContext(dialing); err != nil {
		raw.Close()
		return nil, err
	}
	return c, nil
}

// mostWords bounds what a mail server may say over one mail, in bytes: the library reads an
// answer into memory until it ends.
const mostWords = 1 << 20

// brief is a connection on which no more than so much comes.
type brief struct {
	net.Conn
	words int
}

func (b *brief) Read(p []byte) (int, error) {
	if b.words <= 0 {
		return 0, fmt.Errorf("the mail server has said more than %d bytes and no end", mostWords)
	}
	n, err := b.Conn.Read(p)
	b.words -= n
	return n, err
}

// withinTLS proves a user with a password by the best way that the server offers.
type withinTLS struct {
	user, password, host string
	smtp.Auth
}

// Start implements smtp.Auth.
func (a *withinTLS) Start(server *smtp.ServerInfo) (string, []byte, error) {
	for _, way := range []struct {
		name string
		auth smtp.Auth
	}{
		{"SCRAM-SHA-256", smtp.ScramSHA256Auth(a.user, a.password)}, {"SCRAM-SHA-1", smtp.ScramSHA1Auth(a.user, a.password)},
		{"PLAIN", smtp.PlainAuth("", a.user, a.password, a.host, false)}, {"LOGIN", smtp.LoginAuth(a.user, a.password, a.host, false)},
	} {
		if slices.Contains(server.Auth, way.name) {
			a.Auth = way.auth
			return a.Auth.Start(server)
		}
	}
	return "", nil, fmt.Errorf("the mail server knows none of the ways to prove a password: it offers %v", server.Auth)
}

//go:embed templates/*.txt
var templateFiles embed.FS

// templates are the mail in each language: a subject and a body.
var templates = func() map[string]*template.Template {
	out := map[string]*template.Template{}
	for _, lang := range []string{"ru", "en"} {
		stage := func(s string) string { return s }
		if lang == "ru" {
			stage = func(s string) string { return terms.Stage(s).Russian() }
		}
		found := func(e *journal.Event) string { return foundText(e, lang) }
		out[lang] = template.Must(template.New(lang).Funcs(template.FuncMap{"found": found, "stage": stage, "path": url.PathEscape}).ParseFS(templateFiles, "templates/"+lang+".txt"))
	}
	return out
}()

// found says what probes find.
var found = map[string]map[string]string{
	"ru": {
		"description": "шлюз не отдаёт описание", "schema": "действующая схема не принимает образец", "silent": "поставщик не опрашивает очередь", "waits": "запрос ждёт поставщика слишком долго",
		"refused": "шлюз не принял запрос", "unanswered": "нет ответа", "rejected": "поставщик отказал", "undelivered": "запрос не доставлен поставщику", "answer": "ответ не соответствует схеме",
	},
	"en": {
		"description": "the gateway does not give the description", "schema": "the schema in force does not take the sample", "silent": "the provider does not poll", "waits": "a request waits for the provider for too long",
		"refused": "the gateway did not take the request", "unanswered": "there is no answer", "rejected": "the provider rejects", "undelivered": "the request did not come to the provider", "answer": "the answer does not hold against the schema",
	},
}

// Found says in a language, ru or en, what a probe has found.
func Found(problem, lang string) string { return found[lang][problem] }

// foundText is what an event of a probe tells, in words.
func foundText(e *journal.Event, lang string) string {
	text := Found(e.Outcome, lang)
	if e.Rule != "" {
		text += " (" + e.Rule + ")"
	}
	return text
}

// mostLines is how many alarms a mail lists.
const mostLines = 200

// letter is what a mail is made of.
type letter struct {
	Rule, Desk          string
	Overdue, Soon, More int
	Red, Green          int // of probes
	Escalated           bool
	Lines               []line
}

type line struct {
	*journal.Event
	At, Due string
	Late    bool
	Reached bool
}

// write makes subject and body.
func write(rules *Rules, desk string, list []Alarm) (subject, body string, err error) {
	l := letter{Rule: list[0].Rule, Desk: strings.TrimRight(desk, "/")}
	for i := range list {
		e := &list[i].Event
		late := e.Kind == journal.KindOverdue
		switch e.Kind {
		case journal.KindOverdue:
			l.Overdue++
		case ProbeRed:
			l.Red++
		case ProbeGreen:
			l.Green++
		default:
			l.Soon++
		}
		l.Escalated = l.Escalated || list[i].Escalated
		if len(l.Lines) < mostLines {
			l.Lines = append(l.Lines, line{e, e.Time.In(rules.Zone).Format("02.01.2006 15:04 -07:00"), e.Deadline.In(rules.Zone).Format("02.01.2006 15:04 -07:00"), late, e.Outcome == "reached"})
		} else {
			l.More++
		}
	}
	var s, b bytes.Buffer
	t := templates[rules.Language]
	if err := t.ExecuteTemplate(&s, "subject", l); err != nil {
		return "", "", err
	}
	if err := t.ExecuteTemplate(&b, "body", l); err != nil {
		return "", "", err
	}
	return strings.TrimSpace(s.String()), strings.TrimLeft(b.String(), "\n"), nil
}

func (m *Mailer) send(ctx context.Context, rules *Rules, desk, delivery string, list []Alarm, now time.Time) error {
	subject, body, err := write(rules, desk, list)
	if err != nil {
		return err
	}
	return m.Send(ctx, list[0].Target, subject, body, delivery, now)
}

// Send sends one mail of plain text. What bears the same delivery is a copy. It ends
// with ctx, whatever the server does, and without an error when the server has taken the
// mail, whatever it does afterwards.
func (m *Mailer) Send(ctx context.Context, to, subject, body, delivery string, now time.Time) error {
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := msg.From(m.from); err != nil {
		return err
	}
	if err := msg.To(to); err != nil {
		return err
	}
	msg.Subject(subject)
	msg.SetDateWithValue(now)
	msg.SetMessageIDWithValue(delivery + "@" + m.domain)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody is to answer by machine
	msg.SetBodyString(mail.TypeTextPlain, body)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // and the connection ends
	client, err := m.client(ctx)
	if err != nil {
		return err
	}
	switch err := client.DialAndSendWithContext(ctx, msg); {
	case err == nil, msg.IsDelivered():
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %v", ctx.Err(), err)
	default:
		return err
	}
}
