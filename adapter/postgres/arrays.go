package postgres

import (
	"bytes"
	"slices"
	"time"

	"mezhved/adapter"
)

// newArguments are those of acceptNewSQL, for a batch of messages that have kinds.
func newArguments(batch []*accept) []any {
	n := len(batch)
	sorted := slices.Clone(batch)
	slices.SortFunc(sorted, func(a, b *accept) int { return bytes.Compare(a.key, b.key) })
	keys, holders, senders := make([][]byte, n), make([][16]byte, n), make([]string, n)
	for i, a := range sorted {
		keys[i], holders[i], senders[i] = a.key, a.message.ID, string(a.message.Sender)
	}
	sorted = slices.DeleteFunc(sorted, func(a *accept) bool { return !a.final() })
	slices.SortFunc(sorted, func(a, b *accept) int { return bytes.Compare(a.message.Request[:], b.message.Request[:]) })
	answered, replies := make([][16]byte, len(sorted)), make([][16]byte, len(sorted))
	for i, a := range sorted {
		answered[i], replies[i] = a.message.Request, a.message.ID
	}
	ids, messageIDs, requests := make([][16]byte, n), make([]string, n), make([]*[16]byte, n)
	originals, references, codes, parts, replyTos := make([]*string, n), make([]*string, n), make([]*string, n), make([]*string, n), make([]*string, n)
	eols, accepted, deadlines := make([]*time.Time, n), make([]time.Time, n), make([]*time.Time, n)
	digests, traces, kinds := make([][]byte, n), make([]string, n), make([]int64, n)
	outbox, shards, queues := make([][16]byte, 0, n), make([]int16, 0, n), make([]int32, 0, n)
	events := make([][]byte, 0, n)
	var bodies packedArrays
	var named numbered
	for i, a := range batch {
		m := a.message
		named.add(a)
		ids[i], messageIDs[i], traces[i], digests[i], kinds[i] = m.ID, string(m.MessageID), m.Trace, m.Digest[:], *a.kind
		if m.Request != [16]byte{} {
			requests[i] = (*[16]byte)(&m.Request)
		}
		r := a.row()
		originals[i], references[i], codes[i], parts[i], replyTos[i] = r.original, r.reference, r.code, r.parts, r.replyTo
		eols[i], accepted[i], deadlines[i] = timeOrNull(m.EOL), m.Accepted, timeOrNull(m.Deadline)
		bodies.add(a.body)
		for n, queue := range a.queues {
			outbox, shards, queues = append(outbox, m.ID), append(shards, int16(adapter.ShardOf(m.Recipients[n]))), append(queues, queue)
		}
		events = append(events, a.events...)
	}
	return []any{
		answered, replies, keys, holders, senders,
		ids, messageIDs, originals, requests, references, codes, eols, accepted, deadlines,
		parts, replyTos, digests, traces, bodies.codec, bodies.dictionary, bodies.size, bodies.bytes, kinds,
		outbox, shards, queues, events,
		named.kinds, named.queues, named.queueIs, named.roots, named.rootIs,
	}
}

// acceptArrays are the arguments of acceptSQL and acceptAttachedSQL. pgx sends them in binary form.
type acceptArrays struct {
	ids, requests       []*[16]byte
	answers             []*[16]byte // request of a final reply, else nil
	keys                [][]byte
	sender, messageID   []string
	ownSender           []*string // in the row of message; here and below, nil is for a kind to say
	direction, original []*string
	reference, code     []*string
	recipients          []*string
	service, version    []*string
	roots               []*int32
	vip, test           []*bool
	eol                 []*time.Time
	accepted            []time.Time
	deadline            []*time.Time
	wire, parts         []*string
	replyTo             []*string
	digest, certificate [][]byte
	trace               []string
	attachments         []int32
	kinds               []*int64
	bodies              packedArrays
	named               numbered

	attachmentOf []*[16]byte
	attachmentN  []int32
	attachmentID []string
	contents     packedArrays

	outboxOf    []*[16]byte
	outboxShard []int16
	outboxQueue []int32

	eventOf []*[16]byte
	event   [][]byte

	fileOf     []*[16]byte
	fileN      []int32
	file       []*[16]byte
	fileGOST   [][]byte
	fileSize   []int64
	fileSender []string

	awaitedOf    []*[16]byte
	awaitedQueue []int32
	awaitedID    []string
}

// numbered are the numbers that the messages of a batch use, each once, with what they are
// believed to stand for.
type numbered struct {
	kinds           []int64
	queues, roots   []int32
	queueIs, rootIs []string
}

func (n *numbered) add(a *accept) {
	if a.kind != nil && !slices.Contains(n.kinds, *a.kind) {
		n.kinds = append(n.kinds, *a.kind)
	}
	for i, q := range a.message.Recipients {
		n.addQueue(a.queues[i], q)
	}
	n.addRoot(a.root, a.message.Root)
}

func (n *numbered) addQueue(id int32, q adapter.Queue) {
	if !slices.Contains(n.queues, id) {
		n.queues, n.queueIs = append(n.queues, id), append(n.queueIs, numberedQueue(id, q))
	}
}

func (n *numbered) addRoot(id int32, root adapter.QName) {
	if id != 0 && !slices.Contains(n.roots, id) {
		n.roots, n.rootIs = append(n.roots, id), append(n.rootIs, numberedRoot(id, root))
	}
}

type packedArrays struct {
	codec            []int16
	dictionary, size []int32
	bytes            [][]byte
}

func (a *packedArrays) add(p packed) {
	a.codec = append(a.codec, p.codec)
	a.dictionary = append(a.dictionary, p.dictionary)
	a.size = append(a.size, p.size)
	a.bytes = append(a.bytes, nonNil(p.bytes))
}

// nonNil because nil is NULL to pgx.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// ownRow are columns of message; nil is NULL.
type ownRow struct {
	sender, direction, original, reference, code, recipients, service, version, wire, parts, replyTo *string
	root                                                                                             *int32
	vip, test                                                                                        *bool
	certificate                                                                                      []byte
}

// row is what of a message's columns stands in its row: all of it, or what its kind does
// not say and what is not empty.
func (a *accept) row() (r ownRow) {
	m := a.message
	own := func(text string, alone bool) *string {
		if a.kind != nil && (!alone || text == "" || text == "{}") {
			return nil
		}
		kept := text // text itself would be allocated for those that stay out, too
		return &kept
	}
	r = ownRow{own(string(m.Sender), false), own(string(m.Direction), false), own(string(m.Original), true), own(string(m.Reference), true), own(m.TransactionCode, true),
		own(a.recipients, false), own(m.Service, false), own(m.Version, false), own(m.Wire, false), own(a.parts, true), own(a.replyTo, true), nil, nil, nil, nil}
	if a.kind == nil {
		r.root, r.vip, r.test, r.certificate = &a.root, &m.VIP, &m.Test, m.Certificate[:]
	}
	return r
}

func newAcceptArrays(n int) *acceptArrays {
	return &acceptArrays{ids: make([]*[16]byte, 0, n)}
}

func (p *acceptArrays) add(a *accept) {
	m := a.message
	id := (*[16]byte)(&m.ID)
	p.ids = append(p.ids, id)
	p.named.add(a)
	p.keys = append(p.keys, a.key)
	if a.final() {
		p.answers = append(p.answers, (*[16]byte)(&m.Request))
	} else {
		p.answers = append(p.answers, nil)
	}
	if m.Request == [16]byte{} {
		p.requests = append(p.requests, nil)
	} else {
		p.requests = append(p.requests, (*[16]byte)(&m.Request))
	}
	p.sender = append(p.sender, string(m.Sender))
	p.messageID = append(p.messageID, string(m.MessageID))
	r := a.row()
	p.ownSender = append(p.ownSender, r.sender)
	p.direction = append(p.direction, r.direction)
	p.original = append(p.original, r.original)
	p.reference = append(p.reference, r.reference)
	p.code = append(p.code, r.code)
	p.recipients = append(p.recipients, r.recipients)
	p.service = append(p.service, r.service)
	p.version = append(p.version, r.version)
	p.roots = append(p.roots, r.root)
	p.vip = append(p.vip, r.vip)
	p.test = append(p.test, r.test)
	p.eol = append(p.eol, timeOrNull(m.EOL))
	p.accepted = append(p.accepted, m.Accepted)
	p.deadline = append(p.deadline, timeOrNull(m.Deadline))
	p.wire = append(p.wire, r.wire)
	p.parts = append(p.parts, r.parts)
	p.replyTo = append(p.replyTo, r.replyTo)
	p.digest = append(p.digest, m.Digest[:])
	p.certificate = append(p.certificate, r.certificate)
	p.kinds = append(p.kinds, a.kind)
	p.trace = append(p.trace, m.Trace)
	p.attachments = append(p.attachments, int32(len(a.attachments)))
	p.bodies.add(a.body)
	for n, content := range a.attachments {
		p.attachmentOf = append(p.attachmentOf, id)
		p.attachmentN = append(p.attachmentN, int32(n))
		p.attachmentID = append(p.attachmentID, m.Attachments[n].ID)
		p.contents.add(content)
	}
	for n, queue := range a.queues {
		p.outboxOf = append(p.outboxOf, id)
		p.outboxShard = append(p.outboxShard, int16(adapter.ShardOf(m.Recipients[n])))
		p.outboxQueue = append(p.outboxQueue, queue)
	}
	for _, e := range a.events {
		p.eventOf = append(p.eventOf, id)
		p.event = append(p.event, e)
	}
	for n := range m.Files {
		f := &m.Files[n]
		p.fileOf = append(p.fileOf, id)
		p.fileN = append(p.fileN, int32(n))
		p.file = append(p.file, (*[16]byte)(&f.Entry))
		p.fileGOST = append(p.fileGOST, f.GOST[:])
		p.fileSize = append(p.fileSize, f.Size)
		p.fileSender = append(p.fileSender, string(m.Sender))
	}
	if len(m.Files) > 0 {
		for _, queue := range a.queues {
			p.awaitedOf = append(p.awaitedOf, id)
			p.awaitedQueue = append(p.awaitedQueue, queue)
			p.awaitedID = append(p.awaitedID, string(m.MessageID))
		}
	}
}

// arguments lists the arrays in the order of their numbers in acceptSQL.
func (p *acceptArrays) arguments() []any {
	return []any{
		p.ids, p.keys, p.answers,
		p.sender, p.messageID, p.direction, p.original, p.requests, p.reference, p.code,
		p.recipients, p.service, p.version, p.roots, p.vip, p.test, p.eol, p.accepted, p.deadline,
		p.wire, p.parts, p.replyTo, p.digest, p.certificate, p.trace, p.attachments,
		p.bodies.codec, p.bodies.dictionary, p.bodies.size, p.bodies.bytes,
		p.outboxOf, p.outboxShard, p.outboxQueue,
		p.eventOf, p.event,
		p.ownSender, p.kinds,
		p.named.kinds, p.named.queues, p.named.queueIs, p.named.roots, p.named.rootIs,
	}
}

// attached reports whether a message of the batch has attachments or files.
func (p *acceptArrays) attached() bool { return len(p.attachmentOf)+len(p.fileOf) > 0 }

// attachedArguments follow the others in acceptAttachedSQL.
func (p *acceptArrays) attachedArguments() []any {
	return []any{
		p.attachmentOf, p.attachmentN, p.attachmentID, p.contents.codec, p.contents.dictionary, p.contents.size, p.contents.bytes,
		p.fileOf, p.fileN, p.file, p.fileGOST, p.fileSize, p.fileSender,
		p.awaitedOf, p.awaitedQueue, p.awaitedID,
	}
}
