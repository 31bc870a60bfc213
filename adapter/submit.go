package adapter

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter/journal"
	"mezhved/adapter/registry"
	"mezhved/adapter/subject"
	"mezhved/adapter/terms"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// admitted is a message that may be accepted: its sender is proved, its ids are
// good, its content holds against the schema, its route is found and its sender
// may take it. Only admitRequest and admitReply make one.
type admitted struct {
	message *Message
	service *registry.Service
	about   []journal.PersonalField // whom it is about, and on what ground it asks
}

// submit carries out SendRequest.
func (g *Gateway) submit(ctx context.Context, c *call) error {
	req, err := envelopes.DecodeSendRequest(c.envelope, c.signed)
	if err != nil {
		return err
	}
	c.event.MessageID, c.event.Reference, c.event.Test = req.MessageID, req.ReferenceMessageID, req.Test
	a, err := g.admitRequest(ctx, c, req)
	if err != nil {
		if first := g.acceptedBefore(ctx, c, req.MessageID, req.Data); first != nil {
			return g.repeat(c, first)
		}
		return err
	}
	return g.accept(ctx, c, a)
}

// admitRequest holds a request against the rules, in the order of the real bus:
// identifier, type, a place of the service's share, schema, personal signature, dictionaries, attachments, route, access,
// end of life, room in the queue; then the files in the file store.
func (g *Gateway) admitRequest(ctx context.Context, c *call, req *envelopes.SendRequestCall) (admitted, error) {
	defer c.stage("admit").end()
	if err := g.paced(c); err != nil {
		return admitted{}, err
	}
	id, err := admitMessageID(req.MessageID, c.started, g.config.MessageID)
	if err != nil {
		return admitted{}, err
	}
	s, err := g.requestService(c, req)
	if err != nil {
		return admitted{}, err
	}
	c.event.Service, c.event.Version, c.event.Schema = s.Name, s.Version, s.SchemaDigest
	if err := g.placed(ctx, c, s); err != nil {
		return admitted{}, err
	}
	if err := g.checkContent(c, s, s.AboutRequest, req.Data, req.Content, req.PersonalSignature, req.MessageID); err != nil {
		return admitted{}, err
	}
	if err := c.checkCodes(s.RequestCodes, req.Content, req.MessageID); err != nil {
		return admitted{}, err
	}
	attached, err := g.checkAttachments(c, s, req.Headers, req.Attachments)
	if err != nil {
		return admitted{}, err
	}
	if req.Routing != nil {
		return admitted{}, because("no-routing-block")
	}
	to, err := g.recipients(c, s, req.Content)
	if err != nil {
		return admitted{}, err
	}
	if !s.Admits(c.party.Mnemonic) {
		return admitted{}, because("access")
	}
	eol := req.EOL
	switch {
	case !eol.IsZero() && !eol.After(c.started):
		return admitted{}, because("end-of-life")
	case eol.IsZero() && s.EndOfLife > 0:
		eol = c.started.Add(s.EndOfLife)
	}
	eol = g.sooner(c.started, eol)
	if err := g.checkRoom(c, s, to); err != nil {
		return admitted{}, err
	}
	files, err := g.checkFiles(ctx, c, s, req.MessageID, req.References, to)
	if err != nil {
		return admitted{}, err
	}

	m := g.message(c, req.Data, req.Signature)
	m.MessageID, m.Direction = id, DirRequest
	m.Reference, m.TransactionCode = MessageID(req.ReferenceMessageID), req.TransactionCode
	m.Recipients, m.Root, m.Test, m.EOL = to, s.Request, req.Test, eol
	m.Service, m.Version = s.Name, s.Version
	m.Attachments, m.Parts.Attached = attached, len(attached)
	m.Files, m.Parts.Files = files, len(files)
	if s.Broadcast {
		m.Direction = DirBroadcast
		return admitted{m, s, c.about}, nil
	}
	m.setDue(c.catalog, s)
	g.hasten(c, m)
	m.VIP = c.party.VIP
	address := replyAddress{
		Request: m.ID, MessageID: id, Sender: m.Sender, Node: req.NodeID, Provider: to[0].System, Service: s.Name, Version: s.Version,
		Wire: m.Wire, Reference: m.Reference, Code: m.TransactionCode, Test: m.Test,
	}
	if !eol.IsZero() {
		address.EOL = eol.UnixMilli()
	}
	m.ReplyTo = g.replies.seal(address)
	return admitted{m, s, c.about}, nil
}

// requestService finds the service version that the content's root names, and
// refuses what is not a request in use.
func (g *Gateway) requestService(c *call, req *envelopes.SendRequestCall) (*registry.Service, error) {
	root := QName{Space: req.Content.Space(), Local: req.Content.Local()}
	s := c.catalog.ByRoot(root)
	switch {
	case s == nil:
		return nil, &refusal{reason: "not-a-type", root: root}
	case s.Request != root:
		return nil, &refusal{reason: "wrong-category", args: []any{root, "RESPONSE"}, root: root}
	case s.Stage == registry.StageRetired && !s.Sunset.IsZero():
		return s, g.sunset(c, s)
	case s.Stage == registry.StageDraft, s.Stage == registry.StageRetired:
		return nil, &refusal{reason: "not-in-use", args: []any{s.Name, s.Version, stageText[s.Stage]}, root: root}
	case s.Stage == registry.StageTest && !req.Test:
		return nil, &refusal{reason: "not-in-use", args: []any{s.Name, s.Version, stageText[s.Stage]}, root: root}
	}
	return s, nil
}

// ruleSunset says of an accepted request that its version comes to an end.
const ruleSunset = "sunset"

// sunset takes requests of a retired version until its last day is over. Who calls it is
// told of in the log and in the entry; after that day the call is refused.
func (g *Gateway) sunset(c *call, s *registry.Service) error {
	if !c.started.Before(s.Sunset) {
		return &refusal{reason: "sunset", args: []any{s.Name, s.Version, s.Sunset.Add(-time.Second).In(terms.Moscow).Format("02.01.2006")}, root: s.Request}
	}
	c.letPass(ruleSunset)
	g.log.Warn("a version that comes to its end is still called", "service", s.Name, "version", s.Version, "party", c.party.Mnemonic, "lastDay", s.LastDay())
	return nil
}

var stageText = map[registry.Stage]string{
	registry.StageDraft: "черновик", registry.StageTest: "только сообщения с признаком TestMessage", registry.StageRetired: "выведен из эксплуатации",
}

// ruleUnsignedPrefix is package xsd's rule for names in values. On an accepted
// message it says that some were there, and meant what they did whatever their
// prefixes were bound to.
const ruleUnsignedPrefix = "unsigned-prefix"

// checkContent validates the content where it stands and checks the official's
// signature over it. Whom it is about is read as soon as it holds: a call that is
// refused for something else afterwards was about somebody, too.
func (g *Gateway) checkContent(c *call, s *registry.Service, plan *subject.Plan, data, content, personal xmltape.Node, id string) error {
	limit := s.Content
	def(&limit, int64(g.limits().Content))
	if off, end := data.Range(); int64(end-off) > limit {
		return because("content-size", strconv.FormatInt(limit, 10))
	}
	done := c.stage("validate")
	settled, err := s.Validate(content)
	done.end()
	if err != nil {
		r := refuse(err)
		r.args = []any{id}
		c.refusedBySchema(s, data, content, id, r)
		return r
	}
	if settled > 0 {
		c.letPass(ruleUnsignedPrefix)
	}
	c.readSubject(plan, content)
	return g.verifyPersonal(c, s, personal, content, id)
}

// refusedBySchema remembers a message that the schema in force refuses, for drafts that
// might take it.
func (c *call) refusedBySchema(s *registry.Service, data, content xmltape.Node, id string, r *refusal) {
	c.shadowed = Shadowed{Service: s, Sender: c.party.Mnemonic, Direction: DirRequest, MessageID: MessageID(id), Data: span(data)}
	if content.Local() == s.Response.Local {
		c.shadowed.Direction = DirResponse
	} else if s.Broadcast {
		c.shadowed.Direction = DirBroadcast
	}
	if len(r.marks) > 0 {
		c.shadowed.Refused, c.shadowed.Line, c.shadowed.Col = r.marks[0].rule, r.marks[0].line, r.marks[0].col
	}
}

// checkCodes refuses content in which something is no code of its dictionary, as of the
// day on which it came.
func (c *call) checkCodes(codes []registry.Code, content xmltape.Node, id string) error {
	err := registry.CheckCodes(codes, content, c.started.In(terms.Moscow))
	if err != nil {
		r := refuse(err)
		r.args = []any{id}
		return r
	}
	return nil
}

// ruleMoreValues says of an accepted message that not all values of people in it
// could be committed to.
const ruleMoreValues = "more-values"

// readSubject reads whom the proved content is about, and on what ground it asks.
func (c *call) readSubject(plan *subject.Plan, content xmltape.Node) {
	var left int
	if c.about, left = plan.Read(content); left > 0 {
		c.letPass(ruleMoreValues)
	}
}

// checkAttachments holds contents against the signed headers: each has its
// counterpart, none is there twice, together they are not too large, and their
// own signatures hold.
func (g *Gateway) checkAttachments(c *call, s *registry.Service, headers []envelopes.AttachmentHeader, contents []envelopes.Attachment) ([]Attachment, error) {
	if len(headers) != len(contents) {
		return nil, because("attachment-no-header", strconv.Itoa(len(contents)), strconv.Itoa(len(headers)))
	}
	if len(contents) == 0 {
		return nil, nil
	}
	awaited := make(map[string]*envelopes.AttachmentHeader, len(headers))
	for i := range headers {
		awaited[headers[i].ContentID] = &headers[i]
	}
	out, signatures := make([]Attachment, 0, len(contents)), make([][]byte, 0, len(contents))
	var total int64
	for _, a := range contents {
		if awaited[a.ID] == nil {
			return nil, because("attachment-unknown", a.ID)
		}
		signatures = append(signatures, awaited[a.ID].PKCS7)
		delete(awaited, a.ID)
		total += int64(len(a.Content))
		out = append(out, Attachment{ID: a.ID, Content: a.Content})
	}
	limit := s.Attachments
	def(&limit, int64(g.limits().Attachments))
	if total > limit {
		return nil, &refusal{reason: "attachment-size", size: [2]int64{limit, total}}
	}
	for i, a := range out {
		if err := g.verifyFile(c, s, a.ID, signatures[i], signing.Octets{Bytes: a.Content}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// checkFiles holds references against the file store: each file was brought
// whole and has the digest that its sender signed, together they are not too
// large, neither sender nor recipient has too much waiting, and the files' own
// signatures hold. The digests were made while the files came, so this reads a
// file only for a signature over another digest.
//
// The real bus looks at files only after its receipt and tells the sender later,
// in a message to its response queue. We say it at once: the WSDL declares these
// faults for SendRequest and SendResponse, so every client has an exception for
// them, and a sender that still has its file at hand is helped more than one that
// finds a message about it tomorrow. Nothing is left to be found out later: from
// here on a file cannot change, and Accept refuses one that did in between.
func (g *Gateway) checkFiles(ctx context.Context, c *call, s *registry.Service, id string, refs []envelopes.AttachmentReference, to []Queue) ([]File, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	store := g.rooms.Files
	if store == nil {
		return nil, because("attachment-file-store", id)
	}
	defer c.stage("files").end()
	ids := make([]uuid.UUID, len(refs))
	digests := map[uuid.UUID][]byte{}
	for i, r := range refs {
		u, ok := parseLowerUUID(r.UUID)
		if _, seen := digests[u]; !ok || seen {
			return nil, because("attachment-file-twice", id, r.UUID)
		}
		ids[i], digests[u] = u, r.Hash
	}
	found, err := store.Find(ctx, digests)
	if err != nil {
		return nil, unavailable(fmt.Errorf("looking up files: %w", err))
	}
	files := make([]File, len(refs))
	var total int64
	for i, r := range refs {
		f, ok := found[ids[i]]
		switch {
		case !ok:
			return nil, because("attachment-file-missing", id, r.UUID)
		case !bytes.Equal(r.Hash, f.GOST[:]):
			// The digest that would be right is told to the log alone: with it
			// anybody could send other people's files to himself.
			return nil, &refusal{reason: "attachment-file-digest", args: []any{id, r.UUID}, cause: fmt.Errorf("file %s has the digest %x, the message says %x", f.ID, f.GOST, r.Hash)}
		}
		files[i] = f
		total += f.Size
	}
	if limit := int64(g.config.Files.Message); total > limit {
		return nil, &refusal{reason: "attachment-file-size", size: [2]int64{limit, total}}
	}
	sent, waiting, err := store.Held(ctx, c.party.Mnemonic, to)
	if err != nil {
		return nil, unavailable(err)
	}
	// Two messages that come at the same moment may pass both: the quota is to
	// keep order, the limit of the whole store is what protects the disk.
	if left := int64(g.config.Files.Sender) - sent; total > left {
		return nil, &refusal{reason: "attachment-file-quota", args: []any{"отправителя"}, size: [2]int64{max(left, 0), total}, retryAfter: time.Minute}
	}
	if left := int64(g.config.Files.Recipient) - waiting; total > left {
		return nil, &refusal{reason: "attachment-file-quota", args: []any{"получателя"}, size: [2]int64{max(left, 0), total}, retryAfter: time.Minute}
	}
	for i, f := range files {
		if err := g.verifyFile(c, s, f.Name, refs[i].PKCS7, fileOctets(ctx, store, f)); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// fileOctets are those of a file in the file store, by the digests that are kept
// where they serve.
func fileOctets(ctx context.Context, store FileStore, f File) signing.Octets {
	whole := signing.OctetsOf(func() (io.ReadCloser, error) { return store.Read(ctx, f) })
	return signing.Octets{Digest: func(d signing.Digest) ([]byte, error) {
		switch d {
		case signing.Streebog256:
			return f.GOST[:], nil
		case signing.SHA256:
			return f.SHA256[:], nil
		}
		return whole.Digest(d)
	}}
}

// recipients finds the queues that the request goes to. A broadcast goes to all
// subscribers but its sender.
func (g *Gateway) recipients(c *call, s *registry.Service, content xmltape.Node) ([]Queue, error) {
	to, err := s.Route(content)
	if err != nil {
		r := refuse(err)
		if r.reason == "no-recipient" {
			r.args = []any{s.Request}
		}
		return nil, r
	}
	queues := make([]Queue, 0, len(to))
	for _, m := range to {
		if s.Broadcast && m == c.party.Mnemonic {
			continue
		}
		queues = append(queues, Queue{System: m, Kind: QueueRequests})
	}
	if len(queues) == 0 {
		return nil, because("no-recipient", s.Request)
	}
	return queues, nil
}

// checkRoom refuses what would make a queue grow past its limit, or what waits there of
// one service or one sender past theirs.
func (g *Gateway) checkRoom(c *call, s *registry.Service, to []Queue) error {
	for _, q := range to {
		limit := g.inForce.Load().Queues.Limit
		if s != nil {
			limit = max(limit, s.QueueLimit)
		}
		if p := c.catalog.Party(q.System); p != nil && p.QueueLimit > 0 {
			limit = min(limit, p.QueueLimit)
		}
		if g.depth.full(q, limit) {
			return &refusal{reason: "overflow", queue: q, retryAfter: 30 * time.Second}
		}
		if s == nil {
			continue // an answer ends an exchange: it has the room that there is
		}
		if err := g.pacedTo(c, q); err != nil {
			return err
		}
		if s.QueueLimit > 0 && g.depth.laneFull(q, s.Name, s.QueueLimit) {
			return &refusal{reason: "lane-overflow", args: []any{s.Name, s.QueueLimit}, queue: q, retryAfter: 30 * time.Second}
		}
		most := g.inForce.Load().Queues.PerSender
		if c.party.Waiting > 0 {
			most = c.party.Waiting
		}
		if g.depth.senderFull(q, c.party.Mnemonic, most) {
			return &refusal{reason: "sender-overflow", args: []any{most}, queue: q, retryAfter: 30 * time.Second}
		}
	}
	return nil
}

// message begins the record of what was received: its bytes, its pieces, its
// sender. data and signature are on the call's tape.
func (g *Gateway) message(c *call, data, signature xmltape.Node) *Message {
	body := c.envelope.Bytes()
	m := &Message{
		ID: c.id, Sender: c.party.Mnemonic, Accepted: c.started, Wire: c.version().String(),
		Body: body, Digest: sha256.Sum256(body), Certificate: c.signed.Certificate().SHA256, Trace: c.trace,
		Parts: Parts{Data: span(data), Scope: scope(data)},
	}
	if signature.Valid() {
		m.Parts.Signature, m.Parts.SigScope = span(signature), m.Parts.Scope
		if signature.Parent().Token().Scope != data.Parent().Token().Scope {
			m.Parts.SigScope = scope(signature)
		}
	}
	return m
}

// newID is the gateway's own id of a message: a UUID of version 7 (RFC 9562) whose time is
// not the machine's, since the store's days and keys go by it. What was sent within one
// millisecond is in order too, by 4096ths of it (6.2, method 3): the store gives messages back
// to the bus in the order of their ids.
func newID(now time.Time) (id uuid.UUID) {
	part := uint64(now.Nanosecond()%int(time.Millisecond)) << 12 / uint64(time.Millisecond)
	binary.BigEndian.PutUint64(id[:], uint64(now.UnixMilli())<<16|7<<12|part)
	rand.Read(id[8:]) // ends the process where there is no randomness
	id[8] = id[8]&0x3f | 0x80
	return id
}

func span(n xmltape.Node) Span {
	off, end := n.Range()
	return Span{Off: off, Len: end - off}
}

// scope is what an element inherits from those round it.
func scope(n xmltape.Node) []Binding {
	in := n.Parent().InScope()
	out := make([]Binding, len(in))
	for i, b := range in {
		out[i] = Binding{Prefix: b.Prefix, URI: b.URI}
	}
	return out
}
