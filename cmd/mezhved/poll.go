package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"mezhved/adapter/party"
	"mezhved/envelopes"
	"mezhved/signing"
)

type pollCmd struct {
	partyFlags
	storeFlags
	Queue  string        `arg:"" enum:"requests,responses" help:"requests or responses."`
	Type   string        `placeholder:"{NS}ROOT" help:"Only messages of this kind: {namespace}root of its request or response."`
	NodeID string        `name:"node" help:"Responses to requests sent with this NodeID."`
	Ack    bool          `help:"Acknowledge the message when it has been printed or stored."`
	Out    string        `placeholder:"DIR" help:"Store the envelope, the content and attachments in this folder; files in the file store are fetched."`
	Wait   time.Duration `placeholder:"TIME" help:"Wait this long for a message (30s, 1m); default: ask once."`
}

func (pollCmd) Help() string {
	return `A message that is taken and not acknowledged comes again after the bus's lease (15 minutes, by default).
Exit code 1 says that the queue is empty. With --out the message has a folder named by its MessageID, which appears when all of it
is on the disk; only then --ack acknowledges it.

Examples:
  mezhved poll requests --key fns/key.pem --cert fns/cert.pem --out inbox --ack
  mezhved poll responses --key mfc/key.pem --cert mfc/cert.pem --wait 1m --json
  mezhved poll requests --key fns/key.pem --cert fns/cert.pem --file-store ftp://127.0.0.1:2121 --out inbox --ack`
}

func (c *pollCmd) Run(ctx context.Context, out *stdio) error {
	client, err := c.client(ctx)
	if err != nil {
		return err
	}
	store, err := c.store(c.URL) // before a message is taken
	if err != nil {
		return err
	}
	selector := party.Selector{NodeID: c.NodeID}
	if c.Type != "" {
		space, local, ok := strings.Cut(strings.TrimPrefix(c.Type, "{"), "}")
		if !ok {
			return usage(fmt.Errorf("--type %s: {namespace}root is expected", c.Type))
		}
		selector.Root = envelopes.Name{Space: space, Local: local}
	}
	poll := client.PollRequest
	if c.Queue == "responses" {
		poll = client.PollResponse
	}
	end := time.Now().Add(c.Wait)
	for {
		selector.Wait = max(min(time.Until(end), 15*time.Second), 0)
		m, err := poll(ctx, selector)
		if err != nil {
			return failed(out, c.JSON, err)
		}
		if m != nil {
			stored, files, err := c.keep(ctx, store, m)
			if err != nil {
				return err
			}
			if err := printMessage(out, c.JSON, stored, m, files); err != nil {
				return err
			}
			if c.Ack && len(files) < len(m.Files) {
				return usage(errors.New("the message has files in the file store, which go when it is acknowledged: give --out to fetch them. It was not acknowledged"))
			}
			if c.Ack {
				if err := client.Ack(ctx, m.Metadata.MessageID, true); err != nil {
					return failed(out, c.JSON, fmt.Errorf("acknowledging %s, which is here: %w\nIf the bus has not heard of it, the message comes again; mezhved ack acknowledges it too", m.Metadata.MessageID, err))
				}
			}
			return nil
		}
		if time.Now().After(end) {
			if c.JSON {
				return no(errors.Join(errSaid, printJSON(out.out, nil)))
			}
			return no(errors.New("the queue is empty"))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// keep keeps the message in its folder, when there is to be one, with its files in
// the file store. All of it is on the disk when it returns, or nothing.
func (c *pollCmd) keep(ctx context.Context, store *party.FileStore, m *party.Message) (stored string, files []fileJSON, err error) {
	if c.Out == "" {
		return "", nil, nil
	}
	folder, err := newMessageFolder(c.Out, m.Metadata.MessageID)
	if err != nil {
		return "", nil, usage(err)
	}
	defer folder.abandon()
	if files, err = c.fetch(ctx, store, m, folder); err != nil {
		return "", nil, err
	}
	if err := folder.fill(m); err != nil {
		return "", nil, usage(err)
	}
	if err := folder.commit(); err != nil {
		return "", nil, usage(err)
	}
	return folder.name, files, nil
}

// fetch gets the message's files in the file store into its folder.
func (c *pollCmd) fetch(ctx context.Context, store *party.FileStore, m *party.Message, folder *messageFolder) ([]fileJSON, error) {
	if len(m.Files) == 0 {
		return nil, nil
	}
	if err := os.Mkdir(filepath.Join(folder.unfinished, "files"), 0o755); err != nil {
		return nil, usage(err)
	}
	var fetched []fileJSON
	taken := map[string]bool{}
	for _, f := range m.Files {
		name := fileName(f.FileName)
		if name == "" || taken[name] {
			name = strings.TrimSuffix(fileName(f.UUID)+"-"+name, "-")
		}
		taken[name] = true
		one, err := fetchFile(ctx, store, f, m.Hash(f), filepath.Join(folder.unfinished, "files", name))
		if err == nil {
			one.signedJSON = signedOf(m.PKCS7(f.UUID), signing.OctetsOf(func() (io.ReadCloser, error) { return os.Open(one.Stored) }), m.SenderCertificate)
		}
		switch {
		case errors.Is(err, party.ErrDigest):
			return nil, no(fmt.Errorf("%w; the message was not acknowledged", err))
		case err != nil:
			return nil, unavailable(fmt.Errorf("%w. The message was not acknowledged and comes again. Is the file store at %s? Say where with --file-store", err, store.URL))
		}
		one.Stored = filepath.Join(folder.name, "files", name)
		fetched = append(fetched, one)
	}
	return fetched, nil
}

// fileName makes of a sender's name one that is safe in our folder.
func fileName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r == ':' || !unicode.IsGraphic(r) {
			return '_'
		}
		return r
	}, strings.TrimLeft(name, "/"))
	if strings.Trim(name, ".") == "" {
		return ""
	}
	return name
}

// fetchFile writes one file.
func fetchFile(ctx context.Context, store *party.FileStore, f envelopes.FSAttachment, hash []byte, name string) (fileJSON, error) {
	out, err := os.Create(name)
	if err != nil {
		return fileJSON{}, err
	}
	err = store.Fetch(ctx, f, hash, out)
	size, _ := out.Seek(0, io.SeekCurrent)
	return fileJSON{UUID: f.UUID, Name: f.FileName, Size: size, Stored: name}, errors.Join(err, out.Sync(), out.Close())
}

// messageJSON is what poll prints.
type messageJSON struct {
	MessageID   string           `json:"messageId"`
	Type        string           `json:"type"`
	Sender      string           `json:"sender,omitempty"`
	Sent        time.Time        `json:"sent,omitzero"`
	Original    string           `json:"originalMessageId,omitempty"`
	ReplyTo     string           `json:"replyTo,omitempty"`
	NodeID      string           `json:"nodeId,omitempty"`
	Test        bool             `json:"test,omitempty"`
	Content     string           `json:"content,omitempty"`
	Status      *statusJSON      `json:"status,omitempty"`
	Rejections  []rejectionJSON  `json:"rejections,omitempty"`
	Async       *asyncJSON       `json:"async,omitempty"`
	Attachments []attachmentJSON `json:"attachments,omitempty"`
	Files       []fileJSON       `json:"files,omitempty"` // in the file store
	Stored      string           `json:"stored,omitempty"`
}

type statusJSON struct {
	Code int    `json:"code"`
	Text string `json:"text"`
}

type rejectionJSON struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

type asyncJSON struct {
	Category string `json:"category"`
	Text     string `json:"text,omitempty"`
}

type attachmentJSON struct {
	ID      string `json:"id"`
	Size    int    `json:"size"`
	Content string `json:"content,omitempty"` // base64, unless stored
	signedJSON
}

type fileJSON struct {
	UUID   string `json:"uuid"`
	Name   string `json:"name"`
	Size   int64  `json:"size,omitempty"`   // once fetched
	Stored string `json:"stored,omitempty"` // where it was fetched to
	signedJSON
}

// signedJSON is what a file's own signature (PKCS#7) says.
type signedJSON struct {
	SignedBy string    `json:"signedBy,omitempty"`
	Stamped  time.Time `json:"timestamp,omitzero"` // of CAdES-T; who issued the authority's certificate is not looked at
	BadSign  string    `json:"signatureError,omitempty"`
}

func (s signedJSON) String() string {
	switch {
	case s.BadSign != "":
		return "; its signature does not hold: " + s.BadSign
	case s.SignedBy != "" && !s.Stamped.IsZero():
		return "; signed by " + s.SignedBy + ", with a time stamp of " + s.Stamped.Format(time.RFC3339)
	case s.SignedBy != "":
		return "; signed by " + s.SignedBy
	}
	return ""
}

// signedOf looks at a file's own signature. The certificate's dates count, and
// not who issued it: the bus has judged that.
func signedOf(pkcs7 []byte, octets signing.Octets, known *signing.Certificate) signedJSON {
	if pkcs7 == nil {
		return signedJSON{}
	}
	v, err := signing.NewVerifier(signing.Options{Algorithms: signing.Algorithms()})
	if err == nil {
		var signed signing.SignedFile
		if signed, err = v.VerifyCMS(pkcs7, octets, known); err == nil {
			j := signedJSON{SignedBy: signed.Certificate().Subject()}
			if stamp, _ := signed.Timestamp(); stamp != nil {
				j.Stamped = stamp.Time()
			}
			return j
		}
	}
	return signedJSON{BadSign: err.Error()}
}

func messageOf(m *party.Message) messageJSON {
	j := messageJSON{MessageID: m.Metadata.MessageID, Type: string(m.Metadata.Type), Sender: m.Metadata.Sender.Mnemonic, Sent: m.Metadata.Sent,
		Original: m.OriginalMessageID, ReplyTo: m.ReplyTo}
	switch {
	case m.Request != nil:
		j.Content, j.NodeID, j.Test = string(m.Request.Content.Bytes()), m.Request.NodeID, m.Request.Test
	case m.Async != nil:
		j.Async = &asyncJSON{string(m.Async.Category), m.Async.Details}
	case m.Response != nil:
		j.Content = string(m.Response.Content.Bytes())
		if s := m.Response.Status; s != nil {
			j.Status = &statusJSON{s.Code, s.Description}
		}
		for _, r := range m.Response.Rejections {
			j.Rejections = append(j.Rejections, rejectionJSON{string(r.Code), r.Description})
		}
	}
	for _, a := range m.Attachments {
		j.Attachments = append(j.Attachments, attachmentJSON{a.ID, len(a.Content), base64.StdEncoding.EncodeToString(a.Content),
			signedOf(m.PKCS7(a.ID), signing.Octets{Bytes: a.Content}, m.SenderCertificate)})
	}
	return j
}

// printMessage prints a message. stored is its folder, if it has one, and files are
// those of the file store that were fetched.
func printMessage(out *stdio, asJSON bool, stored string, m *party.Message, files []fileJSON) error {
	j := messageOf(m)
	if j.Files = files; files == nil {
		for _, f := range m.Files {
			j.Files = append(j.Files, fileJSON{UUID: f.UUID, Name: f.FileName})
		}
	}
	if j.Stored = stored; stored != "" {
		for i := range j.Attachments {
			j.Attachments[i].Content = ""
		}
	}
	if asJSON {
		return printJSON(out.out, j)
	}
	w := out.out
	test := ""
	if j.Test {
		test = " (test)"
	}
	fmt.Fprintf(w, "%s %s from %s%s\n", j.Type, j.MessageID, j.Sender, test)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-10s %s\n", name, value)
		}
	}
	line("answers", j.Original)
	line("reply to", j.ReplyTo)
	line("node", j.NodeID)
	if j.Status != nil {
		line("status", fmt.Sprintf("%d %s", j.Status.Code, j.Status.Text))
	}
	for _, r := range j.Rejections {
		line("rejected", r.Code+" "+r.Text)
	}
	if j.Async != nil {
		line("the bus", j.Async.Category+" "+j.Async.Text)
	}
	for _, a := range j.Attachments {
		line("attachment", fmt.Sprintf("%s, %d bytes%s", a.ID, a.Size, a.signedJSON))
	}
	for _, f := range j.Files {
		if f.Stored != "" {
			line("file", fmt.Sprintf("%s, %d bytes, the digest is the one that was signed%s", f.Name, f.Size, f.signedJSON))
		} else {
			line("file", f.Name+" (in the file store: --out fetches it)")
		}
	}
	line("stored in", j.Stored)
	if j.Content != "" && stored == "" {
		fmt.Fprintf(w, "\n%s\n", j.Content)
	}
	return nil
}
