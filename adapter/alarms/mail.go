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
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/wneessen/go-mail"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/terms"
)

// Mailer sends mail by one server.
type Mailer struct {
	from, domain string
	client       func() (*mail.Client, error)
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
	options := []mail.Option{mail.WithPort(number), mail.WithTLSConfig(secure), mail.WithTimeout(20 * time.Second)}
	switch c.TLS {
	case "tls":
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
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(c.User), mail.WithPassword(strings.TrimRight(string(password), "\r\n")))
	}
	_, domain, _ := strings.Cut(c.From, "@")
	return &Mailer{from: c.From, domain: domain, client: func() (*mail.Client, error) { return mail.NewClient(host, options...) }}, nil
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
		out[lang] = template.Must(template.New(lang).Funcs(template.FuncMap{"stage": stage, "path": url.PathEscape}).ParseFS(templateFiles, "templates/"+lang+".txt"))
	}
	return out
}()

// mostLines is how many alarms a mail lists.
const mostLines = 200

// letter is what a mail is made of.
type letter struct {
	Rule, Desk          string
	Overdue, Soon, More int
	Escalated           bool
	Lines               []line
}

type line struct {
	*journal.Event
	Due     string
	Late    bool
	Reached bool
}

// write makes subject and body.
func write(rules *Rules, desk string, list []Alarm) (subject, body string, err error) {
	l := letter{Rule: list[0].Rule, Desk: strings.TrimRight(desk, "/")}
	for i := range list {
		e := &list[i].Event
		late := e.Kind == journal.KindOverdue
		if late {
			l.Overdue++
		} else {
			l.Soon++
		}
		l.Escalated = l.Escalated || list[i].Escalated
		if len(l.Lines) < mostLines {
			l.Lines = append(l.Lines, line{e, e.Deadline.In(rules.Zone).Format("02.01.2006 15:04 -07:00"), late, e.Outcome == "reached"})
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

// Send sends one mail of plain text. What bears the same delivery is a copy.
func (m *Mailer) Send(ctx context.Context, to, subject, body, delivery string, now time.Time) error {
	msg := mail.NewMsg()
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
	client, err := m.client()
	if err != nil {
		return err
	}
	return client.DialAndSendWithContext(ctx, msg)
}
