package party

import (
	"context"
	"errors"
	"fmt"

	"github.com/beevik/etree"

	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// personalID is the Id given to content that an official signs and that has none.
const personalID = "PERSONAL_SIGNATURE"

// parseContent takes business content through the gate: what is sent must be
// well-formed, and the signature is made over the same tape.
func parseContent(xml []byte) (xmltape.Node, error) {
	t := new(xmltape.Tape)
	if err := t.Parse(xml, xmltape.Limits{}); err != nil {
		return xmltape.Node{}, fmt.Errorf("content: %w", err)
	}
	return t.Root(), nil
}

// signContent makes the official's signature (ЭП-СП) over the content. Content
// without an Id gets one.
func signContent(ctx context.Context, xml []byte, official signing.Signer) (content, signature xmltape.Node, err error) {
	if content, err = parseContent(xml); err != nil {
		return content, signature, err
	}
	if _, ok := content.Attr("", "Id"); !ok {
		if xml, err = withID(xml, personalID); err != nil {
			return content, signature, err
		}
		if content, err = parseContent(xml); err != nil {
			return content, signature, err
		}
	}
	sig, err := signing.Sign(ctx, content, official)
	if err != nil {
		return content, signature, fmt.Errorf("signing the content: %w", err)
	}
	signature, err = parseContent(sig)
	return content, signature, err
}

// withID gives the root of a document an attribute Id. It is written anew by
// etree; nothing is signed yet, so the octets may change.
func withID(xml []byte, id string) ([]byte, error) {
	doc := etree.NewDocument()
	doc.ReadSettings.PreserveCData = true
	doc.WriteSettings.CanonicalText = true
	doc.WriteSettings.CanonicalAttrVal = true
	if err := doc.ReadFromBytes(xml); err != nil {
		return nil, fmt.Errorf("content: %w", err)
	}
	root := doc.Root()
	if root == nil {
		return nil, errors.New("content: no root element")
	}
	root.CreateAttr("Id", id)
	out := etree.NewDocument()
	out.WriteSettings = doc.WriteSettings
	out.SetRoot(root)
	return out.WriteToBytes()
}
