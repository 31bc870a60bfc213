package adapter

import (
	"cmp"
	"context"
	"strconv"

	"mezhved/adapter/registry"
	"mezhved/envelopes"
)

// reply carries out SendResponse. A reply is a message whose route was fixed by
// its request: the authenticated To says whose it is, and from there it takes
// the same accept as a request.
func (g *Gateway) reply(ctx context.Context, c *call) error {
	resp, err := envelopes.DecodeSendResponse(c.envelope, c.signed)
	if err != nil {
		return err
	}
	c.event.MessageID = resp.MessageID
	a, err := g.admitReply(ctx, c, resp)
	if err != nil {
		if first := g.acceptedBefore(ctx, c, resp.MessageID, resp.Data); first != nil {
			return g.repeat(c, first)
		}
		return err
	}
	return g.accept(ctx, c, a)
}

// admitReply holds a reply against the rules: identifier, reply address and
// whose it is, content against the schema of the request's service, room.
func (g *Gateway) admitReply(ctx context.Context, c *call, resp *envelopes.SendResponseCall) (admitted, error) {
	defer c.stage("admit").end()
	id, err := admitMessageID(resp.MessageID, c.started, g.config.MessageID)
	if err != nil {
		return admitted{}, err
	}
	to, s, err := g.replyRoute(c, resp.To)
	if err != nil {
		return admitted{}, err
	}
	c.event.Service, c.event.Version, c.event.Schema, c.event.Original = s.Name, s.Version, s.SchemaDigest, string(to.MessageID)
	c.event.Reference, c.event.Test = string(to.Reference), to.Test

	m := g.message(c, resp.Data, resp.Signature)
	m.MessageID, m.Original, m.Request, m.Reference = id, to.MessageID, to.Request, to.Reference
	m.Recipients = []Queue{{System: to.Sender, Kind: QueueResponses, Node: to.Node}}
	m.Service, m.Version, m.Root, m.Test = s.Name, s.Version, s.Request, to.Test
	switch {
	case resp.Content.Valid():
		m.Direction = DirResponse
		m.Root = QName{Space: resp.Content.Space(), Local: resp.Content.Local()}
		if err := g.responseContent(c, s, m.Root); err != nil {
			return admitted{}, err
		}
		if err := g.checkContent(c, s, s.AboutResponse, resp.Data, resp.Content, resp.PersonalSignature, resp.MessageID); err != nil {
			return admitted{}, err
		}
		if err := c.checkCodes(s.ResponseCodes, resp.Content, resp.MessageID); err != nil {
			return admitted{}, err
		}
		if m.Attachments, err = g.checkAttachments(c, s, resp.Headers, resp.Attachments); err != nil {
			return admitted{}, err
		}
		if m.Files, err = g.checkFiles(ctx, c, s, resp.MessageID, resp.References, m.Recipients); err != nil {
			return admitted{}, err
		}
		m.Parts.Attached, m.Parts.Files = len(m.Attachments), len(m.Files)
	case len(resp.Rejections) > 0:
		m.Direction = DirRejection
	case resp.Status != nil:
		m.Direction = DirStatus
		c.letPass("status." + strconv.Itoa(resp.Status.Code)) // the executor's mark, which reports count
	default:
		return admitted{}, because("async-forbidden")
	}
	if m.TransactionCode, err = g.transactionCode(ctx, to); err != nil {
		return admitted{}, err
	}
	if err := g.checkRoom(c, nil, m.Recipients); err != nil {
		return admitted{}, err
	}
	m.setDue(c.catalog, s)
	g.hasten(c, m)
	a := admitted{message: m, service: s}
	if m.Direction == DirResponse {
		a.about = c.about
	}
	return a, nil
}

// replyRoute reads the reply address. Only the provider that the request went
// to may answer it, however the others came by the address.
func (g *Gateway) replyRoute(c *call, token string) (replyAddress, *registry.Service, error) {
	shown := func() string { return cmp.Or(short(token), "не указана") }
	to, err := g.replies.open(token)
	if err != nil {
		return to, nil, &refusal{reason: "no-reply-address", args: []any{shown()}, cause: err}
	}
	c.aside(to.Sender, to.Test)
	if to.Provider != c.party.Mnemonic {
		return to, nil, because("not-the-provider", shown())
	}
	s := c.catalog.Service(to.Service, to.Version)
	if s == nil || c.catalog.Party(to.Sender) == nil {
		return to, nil, because("no-reply-address", shown())
	}
	return to, s, nil
}

// short keeps an address that is repeated to its sender readable.
func short(s string) string {
	r := []rune(s)
	if len(r) <= 40 {
		return s
	}
	return string(r[:40]) + "…"
}

// responseContent checks that the content is the response of the service that
// was asked.
func (g *Gateway) responseContent(c *call, s *registry.Service, root QName) error {
	switch known := c.catalog.ByRoot(root); {
	case known == nil:
		return because("not-a-response", root)
	case root != s.Response:
		return because("other-response", root, s.Name, s.Version)
	}
	return nil
}

// transactionCode is the request's code, which goes back with every answer.
// Codes too long for the address are found with the request.
func (g *Gateway) transactionCode(ctx context.Context, to replyAddress) (string, error) {
	if !to.LongCode {
		return to.Code, nil
	}
	list, err := g.store.Find(ctx, to.MessageID)
	if err != nil {
		return "", unavailable(err)
	}
	for i := range list {
		if list[i].ID == to.Request {
			return list[i].TransactionCode, nil
		}
	}
	return "", nil // archived: the answer goes without
}
