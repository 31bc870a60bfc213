package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"mezhved/adapter/party"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// partyFlags say who calls and whom.
type partyFlags struct {
	keyFlags
	URL      string `default:"http://127.0.0.1:7500/smev/v1.2/ws" env:"MEZHVED_URL" help:"Address of the bus. The version follows from it when it names one."`
	Version  string `name:"smev" placeholder:"VERSION" help:"Version of the protocol: 1.1, 1.2 or 1.3; default: the one that --url names, else 1.2."`
	Bus      string `placeholder:"FILE" type:"existingfile" help:"Certificate of the bus: its signature must be made with this one. Without it any valid certificate will do."`
	Unsigned bool   `help:"Accept answers that the bus has not signed (emulators)."`
	JSON     bool   `name:"json" help:"Print JSON."`
}

// storeFlags say where the file store is.
type storeFlags struct {
	FileStore string `name:"file-store" env:"MEZHVED_FILE_STORE" placeholder:"ftp://HOST:PORT" help:"Address of the bus's file store; ftpes:// for TLS. Default: port 21 of the bus's host."`
}

// store is the file store of a bus at the address.
func (f *storeFlags) store(bus string) (*party.FileStore, error) {
	if f.FileStore == "" {
		u, err := url.Parse(bus)
		if err != nil {
			return nil, usage(err)
		}
		return &party.FileStore{URL: (&url.URL{Scheme: "ftp", Host: net.JoinHostPort(u.Hostname(), "21")}).String()}, nil
	}
	u, err := url.Parse(f.FileStore)
	if err != nil || u.Scheme != "ftp" && u.Scheme != "ftpes" || u.Hostname() == "" {
		return nil, usage(fmt.Errorf("--file-store %s: an address such as ftp://bus.example:21, or ftpes:// for TLS, is expected", f.FileStore))
	}
	s := &party.FileStore{User: u.User.Username()}
	s.Password, _ = u.User.Password()
	u.User = nil
	s.URL = u.String()
	return s, nil
}

// versionInPath finds the version that the path of an address names:
// /smev/v1.2/ws, /ws/smev-message-exchange-service-1.3.wsdl. The host is not
// looked at: 10.1.2.3 names no version.
var versionInPath = regexp.MustCompile(`[/v-](1\.[123])(?:[/.]|$)`)

func (f *partyFlags) client(ctx context.Context) (*party.Client, error) {
	signer, err := f.load(ctx)
	if err != nil {
		return nil, err
	}
	// Whether the file is what was signed, not until when its signer's certificate was
	// good: the bus has judged that when it took the message.
	files, err := signing.NewVerifier(signing.Options{SignatureOnly: true})
	if err != nil {
		return nil, err
	}
	c := &party.Client{URL: f.URL, Version: envelopes.V12, Signer: signer, AllowUnsigned: f.Unsigned, Files: files}
	address, err := url.Parse(f.URL)
	if err != nil || address.Host == "" || address.Scheme != "http" && address.Scheme != "https" {
		return nil, usage(fmt.Errorf("--url %s: an address such as http://bus.example/smev/v1.2/ws is expected", f.URL))
	}
	version := f.Version
	if named := versionInPath.FindStringSubmatch(address.Path); version == "" && named != nil {
		version = named[1]
	}
	if version != "" {
		v, ok := envelopes.VersionOf(version)
		if !ok {
			return nil, usage(fmt.Errorf("--smev %s: 1.1, 1.2 or 1.3 is expected", version))
		}
		c.Version = v
	}
	if f.Bus != "" {
		if c.Bus, err = busVerifier(f.Bus); err != nil {
			return nil, usage(err)
		}
	}
	return c, nil
}

// busVerifier trusts the certificates of one file and no others.
func busVerifier(file string) (*signing.Verifier, error) {
	certs, err := readCertificates([]string{file})
	if err != nil {
		return nil, err
	}
	trust, err := signing.NewTrust(signing.TrustOptions{Registered: func(c *signing.Certificate) bool {
		return slices.ContainsFunc(certs, func(known *signing.Certificate) bool { return known.SHA256 == c.SHA256 })
	}})
	if err != nil {
		return nil, err
	}
	return signing.NewVerifier(signing.Options{Trust: trust})
}

// noDoor reports that the address is no door of a bus: nothing has arrived.
func noDoor(err error) bool {
	var odd *party.HTTPError
	return errors.As(err, &odd) && (odd.Status == http.StatusNotFound || odd.Status == http.StatusMethodNotAllowed)
}

// readContent reads a business document. What is no XML is the caller's file,
// not the bus's answer: nothing is sent.
func readContent(out *stdio, name string) ([]byte, error) {
	src, err := readInput(out, name)
	if err != nil {
		return nil, err
	}
	if err := new(xmltape.Tape).Parse(src, xmltape.Limits{}); err != nil {
		if name == "" || name == "-" {
			name = "standard input"
		}
		return nil, usage(fmt.Errorf("content of %s: %w; nothing has been sent", name, err))
	}
	return src, nil
}

// unsignable reports that a call was not signed and so not sent: the content
// has what the SMEV transform is not defined for. A receipt never has that.
func unsignable(err error) bool {
	var bad *signing.Error
	return errors.As(err, &bad) && bad.Code == signing.Unsignable
}

// failed puts what went wrong with a call into the exit codes.
func failed(out *stdio, asJSON bool, err error) error {
	var fault *party.FaultError
	var bad *signing.Error
	var file *party.FileError
	switch {
	case errors.As(err, &file):
		return no(fmt.Errorf("%w. It is not acknowledged and comes again; mezhved ack --rejected refuses it", err))
	case noDoor(err):
		return usage(fmt.Errorf("%w. Look at the path of --url: a bus is at one such as /smev/v1.2/ws", err))
	case errors.As(err, &bad), errors.Is(err, party.ErrUnsigned):
		return no(fmt.Errorf("the answer is not the bus's: %w", err))
	case !errors.As(err, &fault):
		return unavailable(err)
	}
	code := exitNo
	if fault.Retry() {
		code = exitUnavailable
	}
	if !asJSON {
		return &exitError{code, err}
	}
	f := fault.Fault
	places := []string{}
	for _, v := range f.Validation {
		places = append(places, v.Text)
	}
	return &exitError{code, errors.Join(errSaid, printJSON(out.out, map[string]any{
		"fault": string(f.Kind), "signature": string(f.Signature), "code": f.Code, "text": f.Text, "description": f.Description, "violations": places, "incident": fault.Incident,
	}))}
}

type sendCmd struct {
	partyFlags
	storeFlags
	File      string        `arg:"" optional:"" help:"The content: the business document (XML); - or nothing is standard input."`
	ID        string        `name:"id" placeholder:"UUID" help:"MessageID. Default: a new one, or that of the same call whose answer did not come."`
	Reference string        `placeholder:"UUID" help:"MessageID of the first message of the chain."`
	NodeID    string        `name:"node" help:"NodeID: responses come to the queue of this node."`
	EOL       time.Time     `name:"eol" placeholder:"TIME" help:"End of life (RFC 3339): the request is not delivered after it."`
	Code      string        `name:"transaction-code" help:"TransactionCode."`
	Test      bool          `help:"Mark as TestMessage."`
	Official  string        `placeholder:"FILE" type:"existingfile" help:"Key with certificate of the official who signs the content (PEM with both, or PKCS#12)."`
	Attach    []string      `placeholder:"FILE" type:"existingfile" help:"Attachments: inside the message, or over the file store when they are more than 5 MB together."`
	Stored    bool          `help:"Bring attachments to the file store whatever their size."`
	XOP       bool          `name:"xop" help:"Send attachments as MIME parts."`
	Wait      time.Duration `placeholder:"TIME" help:"Wait for the answer this long (30s, 1m), acknowledge and print it; default: do not wait for it."`
	keepFlag
}

// keepFlag is of those who want to prove later what they were promised.
type keepFlag struct {
	Keep string `placeholder:"DIR" help:"Keep what was sent and the bus's signed receipt in a folder of this one, named by the MessageID: mezhved-audit receipts holds them against the journal."`
}

// receipt keeps a receipt. Of a message that the bus has from an earlier call it has
// signed nothing, so there is nothing to keep.
func (k *keepFlag) receipt(out *stdio, r *party.Receipt) error {
	switch {
	case k.Keep == "":
		return nil
	case r.Repeated:
		fmt.Fprintf(out.err, "mezhved: the bus says that it has %s from an earlier call and signs no receipt: nothing is kept\n", r.MessageID)
		return nil
	}
	folder, err := newMessageFolder(k.Keep, r.MessageID)
	if err != nil {
		return err
	}
	defer folder.abandon()
	for name, content := range map[string][]byte{"sent.xml": r.Call, "receipt.xml": r.XML} {
		if err := writeSynced(filepath.Join(folder.unfinished, name), content); err != nil {
			return err
		}
	}
	return folder.commit()
}

// unkept says that a message was taken and its receipt was not kept.
func unkept(r *party.Receipt, err error) error {
	if err == nil {
		return nil
	}
	return no(fmt.Errorf("message %s was sent and is not to be sent again, only its receipt was not kept: %w", r.MessageID, err))
}

func (sendCmd) Help() string {
	return `Exit code 3: the answer did not come, and the request may have arrived. The same call made again takes the same MessageID,
and the bus takes the request once: it is kept from before the sending until the answer in FILE.unanswered-…, or in
$XDG_STATE_HOME/mezhved (~/.local/state/mezhved) for standard input, a service's sample, and where FILE's folder cannot be written; then --id is not needed.
Other content, another key or other flags are another request. With --wait, exit code 1 says that the request was taken and
its answer was not: it is not to be sent again.

Examples:
  mezhved send --key mfc/key.pem --cert mfc/cert.pem request.xml
  mezhved send --key mfc.p12 --password-file mfc.pass --url http://bus.example/smev/v1.3/ws --wait 1m request.xml
  mezhved send --key mfc/key.pem --cert mfc/cert.pem --keep receipts request.xml
  mezhved send --key mfc/key.pem --cert mfc/cert.pem --file-store ftp://127.0.0.1:2121 --attach plan.zip request.xml`
}

// sentJSON is what send and reply print.
type sentJSON struct {
	MessageID string    `json:"messageId"`
	Status    string    `json:"status,omitempty"`
	Recipient string    `json:"recipient,omitempty"`
	Accepted  time.Time `json:"accepted,omitzero"`
	Repeated  bool      `json:"repeated,omitempty"`
	Bus       string    `json:"bus,omitempty"`
}

func sentOf(r *party.Receipt) sentJSON {
	s := sentJSON{MessageID: r.MessageID, Status: string(r.Status), Recipient: r.Recipient.Mnemonic, Accepted: r.Sent, Repeated: r.Repeated}
	if r.Certificate != nil {
		s.Bus = r.Certificate.Subject()
	}
	return s
}

func (c *sendCmd) Run(ctx context.Context, out *stdio) error {
	client, err := c.client(ctx)
	if err != nil {
		return err
	}
	client.XOP, client.Stored = c.XOP, c.Stored
	if client.Store, err = c.store(c.URL); err != nil {
		return err
	}
	content, err := readContent(out, c.File)
	if err != nil {
		return err
	}
	r := party.Request{MessageID: c.ID, Content: content, Reference: c.Reference, TransactionCode: c.Code, NodeID: c.NodeID, EOL: c.EOL, Test: c.Test}
	if c.Official != "" {
		if r.Official, err = signing.LoadSigner(ctx, keySource(c.Official, "", c.PasswordFile)); err != nil {
			return usage(fmt.Errorf("--official: %w", err))
		}
	}
	if r.Attachments, err = readAttachments(c.Attach); err != nil {
		return usage(err)
	}
	call := &unanswered{MessageID: c.ID}
	if c.ID == "" {
		what := [][]byte{[]byte("send"), certificateOf(client.Signer), certificateOf(r.Official), content,
			fmt.Appendf(nil, "%q %q %q %s %t", c.Reference, c.NodeID, c.Code, c.EOL.UTC().Format(time.RFC3339Nano), c.Test)}
		if what, err = appendDigests(what, c.Attach); err != nil {
			return usage(err)
		}
		call = rememberCall(c.File, party.NewMessageID(time.Now()), what...)
		call.begun(out)
	}
	r.MessageID, r.Unsure = call.MessageID, !call.Since.IsZero()
	receipt, err := client.SendRequest(ctx, r)
	if err := call.ended(out, c.JSON, "request", err); err != nil {
		return err
	}
	if err := unkept(receipt, c.receipt(out, receipt)); err != nil {
		return err
	}
	if c.JSON && c.Wait == 0 {
		return printJSON(out.out, sentOf(receipt))
	}
	if !c.JSON {
		printReceipt(out, receipt)
	}
	if c.Wait == 0 {
		return nil
	}
	err = c.awaitAnswer(ctx, out, client, receipt.MessageID)
	var e *exitError
	if errors.As(err, &e) && e.code == exitUnavailable { // made again, this call would be another request
		return no(fmt.Errorf("request %s was sent and is not to be sent again, only its answer was not taken: %w. Take it with mezhved poll responses", receipt.MessageID, err))
	}
	return err
}

// certificateOf is what of a signer makes one call differ from another.
func certificateOf(s signing.Signer) []byte {
	if s == nil {
		return nil
	}
	return fmt.Append(nil, s.Certificate().SHA256)
}

// appendDigests adds what files hold.
func appendDigests(what [][]byte, files []string) ([][]byte, error) {
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		f.Close()
		if err != nil {
			return nil, err
		}
		what = append(what, []byte(filepath.Base(name)), h.Sum(nil))
	}
	return what, nil
}

// awaitAnswer polls until the final answer to the request came, acknowledging
// what it takes. A message to another request goes back to the queue when its
// lease ends.
func (c *sendCmd) awaitAnswer(ctx context.Context, out *stdio, client *party.Client, id string) error {
	ctx, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		m, err := client.PollResponse(ctx, party.Selector{NodeID: c.NodeID})
		switch {
		case err == nil && m != nil && m.OriginalMessageID == id:
			if err := printMessage(out, c.JSON, "", m, nil); err != nil {
				return err
			}
			if len(m.Files) > 0 {
				return no(fmt.Errorf("the answer has files in the file store, so it is not acknowledged: fetch them with mezhved poll responses --out DIR --ack when it comes again (after the bus's lease)"))
			}
			if err := client.Ack(ctx, m.Metadata.MessageID, true); err != nil {
				return failed(out, c.JSON, err)
			}
			if m.Response == nil || m.Response.Status == nil {
				return nil
			}
			pause = 100 * time.Millisecond
			continue
		case err != nil && ctx.Err() == nil:
			return failed(out, c.JSON, err)
		}
		select {
		case <-ctx.Done():
			return unavailable(fmt.Errorf("no answer within %s", c.Wait))
		case <-time.After(pause):
		}
	}
}

func readAttachments(files []string) ([]party.Attachment, error) {
	var out []party.Attachment
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		kind, _, _ := mime.ParseMediaType(mime.TypeByExtension(filepath.Ext(name)))
		out = append(out, party.Attachment{Name: filepath.Base(name), MimeType: kind, Size: info.Size(), Source: func() (io.ReadCloser, error) { return os.Open(name) }})
	}
	return out, nil
}

type replyCmd struct {
	partyFlags
	storeFlags
	File   string            `arg:"" optional:"" help:"The content of the answer (XML); - is standard input."`
	To     string            `required:"" placeholder:"REPLYTO" help:"ReplyTo of the request, or @FILE with it."`
	ID     string            `name:"id" placeholder:"UUID" help:"MessageID of the answer. Default: a new one, or that of the same call whose answer did not come."`
	Reject string            `placeholder:"CODE" help:"Reject: ACCESS_DENIED, NO_DATA, UNKNOWN_REQUEST_DESCRIPTION or FAILURE."`
	Status *int              `placeholder:"CODE" help:"Intermediate status: a number of the provider's own."`
	Text   string            `help:"Words of the rejection or status."`
	Param  map[string]string `placeholder:"KEY=VALUE" help:"Parameters of the status."`
	Attach []string          `placeholder:"FILE" type:"existingfile" help:"Attachments: inside the message, or over the file store when they are more than 5 MB together."`
	Stored bool              `help:"Bring attachments to the file store whatever their size."`
	keepFlag
}

func (replyCmd) Help() string {
	return `Exactly one of FILE, --reject and --status is given. After exit code 3 the same call may be made again: the bus takes it once
(see mezhved send --help).

Examples:
  mezhved reply --key fns/key.pem --cert fns/cert.pem --to @inbox/ID/replyto.txt response.xml
  mezhved reply --key fns/key.pem --cert fns/cert.pem --to @inbox/ID/replyto.txt --reject NO_DATA --text "Сведения не найдены"
  mezhved reply --key fns/key.pem --cert fns/cert.pem --to @inbox/ID/replyto.txt --status 10 --text "Запрос в работе"`
}

func (c *replyCmd) Run(ctx context.Context, out *stdio) error {
	client, err := c.client(ctx)
	if err != nil {
		return err
	}
	client.Stored = c.Stored
	if client.Store, err = c.store(c.URL); err != nil {
		return err
	}
	r := party.Reply{MessageID: c.ID, To: c.To}
	if name, ok := strings.CutPrefix(c.To, "@"); ok {
		src, err := os.ReadFile(name)
		if err != nil {
			return usage(fmt.Errorf("--to: %w", err))
		}
		r.To = strings.TrimRight(string(src), "\r\n") // an editor's; a space at the end is the address's
	}
	ways := 0
	if c.File != "" {
		ways++
		if r.Content, err = readContent(out, c.File); err != nil {
			return err
		}
	}
	if c.Reject != "" {
		ways++
		r.Rejections = []envelopes.Rejection{{Code: envelopes.RejectionCode(c.Reject), Description: c.Text}}
	}
	if c.Status != nil {
		ways++
		r.Status = &envelopes.RequestStatus{Code: *c.Status, Description: c.Text}
		for k, v := range c.Param {
			r.Status.Parameters = append(r.Status.Parameters, envelopes.StatusParameter{Key: k, Value: v})
		}
	}
	if ways != 1 {
		return usage(errors.New("exactly one of a file, --reject and --status is needed"))
	}
	if r.Attachments, err = readAttachments(c.Attach); err != nil {
		return usage(err)
	}
	call := &unanswered{MessageID: c.ID}
	if c.ID == "" {
		what := [][]byte{[]byte("reply"), certificateOf(client.Signer), r.Content, []byte(r.To), fmt.Appendf(nil, "%q %q", c.Reject, c.Text)}
		if c.Status != nil {
			what = append(what, fmt.Append(nil, *c.Status))
		}
		for _, key := range slices.Sorted(maps.Keys(c.Param)) {
			what = append(what, []byte(key), []byte(c.Param[key]))
		}
		if what, err = appendDigests(what, c.Attach); err != nil {
			return usage(err)
		}
		beside := c.File
		if name, ok := strings.CutPrefix(c.To, "@"); ok && beside == "" {
			beside = name
		}
		call = rememberCall(beside, party.NewMessageID(time.Now()), what...)
		call.begun(out)
	}
	r.MessageID, r.Unsure = call.MessageID, !call.Since.IsZero()
	receipt, err := client.Reply(ctx, r)
	if err := call.ended(out, c.JSON, "answer", err); err != nil {
		return err
	}
	if err := unkept(receipt, c.receipt(out, receipt)); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out.out, sentOf(receipt))
	}
	printReceipt(out, receipt)
	return nil
}

func printReceipt(out *stdio, r *party.Receipt) {
	status := string(r.Status)
	if r.Repeated {
		status = "the bus has it from an earlier call"
	}
	fmt.Fprintf(out.out, "%s %s\n", r.MessageID, status)
}

type ackCmd struct {
	partyFlags
	ID       string `arg:"" name:"message-id" help:"MessageID of the message as delivered (the first thing that poll prints)."`
	Rejected bool   `help:"Acknowledge with accepted=\"false\": the signature of the bus did not hold."`
}

func (ackCmd) Help() string {
	return "Example:\n  mezhved ack --key fns/key.pem --cert fns/cert.pem 8d384e7d-c6cb-11f0-8de9-0242ac120002"
}

func (c *ackCmd) Run(ctx context.Context, out *stdio) error {
	client, err := c.client(ctx)
	if err != nil {
		return err
	}
	call := rememberCall("", c.ID, []byte("ack"), certificateOf(client.Signer), []byte(c.ID), fmt.Append(nil, c.Rejected))
	err = client.Ack(ctx, c.ID, !c.Rejected)
	var fault *party.FaultError
	if !call.Since.IsZero() && errors.As(err, &fault) && fault.Fault.Kind == envelopes.TargetMessageIsNotFound {
		err = nil // the one whose answer was lost has done it
	}
	if err := call.ended(out, c.JSON, acknowledgement, err); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out.out, map[string]string{"acknowledged": c.ID})
	}
	_, err = io.WriteString(out.out, "acknowledged\n")
	return err
}

type statusCmd struct{ partyFlags }

func (statusCmd) Help() string {
	return `Takes the next message of the party's status queue (GetStatus); taking it consumes it. Exit code 1 says that
the queue is empty. Answers and statuses of providers are in the response queue: mezhved poll responses.

Example:
  mezhved status --key mfc/key.pem --cert mfc/cert.pem`
}

func (c *statusCmd) Run(ctx context.Context, out *stdio) error {
	client, err := c.client(ctx)
	if err != nil {
		return err
	}
	s, err := client.Status(ctx)
	switch {
	case err != nil:
		return failed(out, c.JSON, err)
	case s == nil && c.JSON:
		return no(errors.Join(errSaid, printJSON(out.out, nil)))
	case s == nil:
		return no(errors.New("the status queue is empty"))
	case c.JSON:
		return printJSON(out.out, map[string]string{"originalMessageId": s.OriginalMessageID, "category": string(s.Category), "text": s.Details})
	}
	fmt.Fprintf(out.out, "%s %s\n  %s\n", s.OriginalMessageID, s.Category, s.Details)
	return nil
}
