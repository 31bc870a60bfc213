package main

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// keyFlags name a key and its certificate, for every command that signs.
type keyFlags struct {
	Key          string `placeholder:"FILE" type:"existingfile" help:"Private key (PEM), or PKCS#12 with key and certificate (.p12, .pfx)."`
	Cert         string `placeholder:"FILE" type:"existingfile" help:"Certificate (PEM or DER); may be left out when it is in the key's file."`
	PasswordFile string `placeholder:"FILE" type:"existingfile" help:"File with the password of the PKCS#12."`
}

func (k *keyFlags) load(ctx context.Context) (signing.Signer, error) {
	if k.Key == "" {
		return nil, usage(errors.New("--key is needed: a PEM file with the private key, or a PKCS#12 file"))
	}
	s, err := signing.LoadSigner(ctx, keySource(k.Key, k.Cert, k.PasswordFile))
	if err != nil {
		return nil, usage(err)
	}
	return s, nil
}

// readInput reads a file, or standard input for "-" and "".
func readInput(io_ *stdio, name string) ([]byte, error) {
	if name == "" || name == "-" {
		return io.ReadAll(io_.in)
	}
	src, err := os.ReadFile(name)
	if err != nil {
		return nil, usage(err)
	}
	return src, nil
}

type signCmd struct {
	keyFlags
	File     string `arg:"" optional:"" help:"XML file, or with --detached any file; - or nothing is standard input."`
	Detached bool   `help:"Sign the file as it is: a detached CMS signature (PKCS#7), as PEM."`
	ID       string `name:"id" help:"Id of the element to sign. Without it FILE is a SMEV call and what the operation prescribes is signed."`
	Out      string `placeholder:"FILE" help:"Where the result goes; default standard output."`
	Bare     bool   `help:"Print only the ds:Signature element."`
}

func (signCmd) Help() string {
	return `The signature is detached: exclusive canonicalisation, the SMEV transform, one reference.
Without --id the file is a whole SMEV call (SOAP envelope or bare operation): the element that the operation
prescribes is signed and the signature put into CallerInformationSystemSignature.
With --detached the file may be anything, and the result is what SignaturePKCS7 of an attachment holds.

Examples:
  mezhved sign --key key.pem --cert cert.pem request.xml > signed.xml
  mezhved sign --key key.pem --cert cert.pem --id PERSONAL_SIGNATURE --bare content.xml
  mezhved sign --key key.pem --cert cert.pem --detached plan.zip > plan.zip.p7s`
}

func (c *signCmd) Run(ctx context.Context, out *stdio) error {
	signer, err := c.load(ctx)
	if err != nil {
		return err
	}
	src, err := readInput(out, c.File)
	if err != nil {
		return err
	}
	sign := c.sign
	if c.Detached {
		sign = detached
	}
	signed, err := sign(ctx, src, signer)
	if err != nil {
		return err
	}
	if c.Out != "" {
		return os.WriteFile(c.Out, signed, 0o644)
	}
	_, err = out.out.Write(signed)
	return err
}

func detached(ctx context.Context, src []byte, signer signing.Signer) ([]byte, error) {
	der, err := signing.SignCMS(ctx, signing.Octets{Bytes: src}, signer, time.Now())
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: der}), nil
}

func (c *signCmd) sign(ctx context.Context, src []byte, signer signing.Signer) ([]byte, error) {
	var tape xmltape.Tape
	if err := tape.Parse(src, xmltape.Limits{}); err != nil {
		return nil, usage(fmt.Errorf("%s: %w", c.File, err))
	}
	target, slot, wrap, err := c.target(&tape)
	if err != nil {
		return nil, usage(err)
	}
	sig, err := signing.Sign(ctx, target, signer)
	if err != nil {
		return nil, err
	}
	if c.Bare {
		return append(sig, '\n'), nil
	}
	if wrap != "" {
		sig = []byte("<" + wrap + ">" + string(sig) + "</" + wrap + ">")
	}
	return signing.Splice(src, slot, sig), nil
}

// target finds what to sign, where the signature goes and, where the slot is
// not there yet, the name of the element to wrap it in.
func (c *signCmd) target(tape *xmltape.Tape) (target xmltape.Node, slot int, wrap string, err error) {
	if c.ID != "" {
		for i := range tape.Tokens {
			n := tape.NodeAt(i)
			if id, ok := n.Attr("", "Id"); ok && id == c.ID {
				_, end := n.Range()
				return n, end, "", nil
			}
		}
		return target, 0, "", fmt.Errorf("no element has the Id %q", c.ID)
	}
	call := operationElement(tape.Root())
	if !call.Valid() {
		return target, 0, "", errors.New("the file is neither a SMEV call nor a SOAP envelope with one: name the element to sign with --id")
	}
	for n := call.First(); n.Valid(); n = n.Next() {
		if _, ok := n.Attr("", "Id"); ok && !target.Valid() {
			target = n
		}
		if n.Local() == "CallerInformationSystemSignature" {
			if n.First().Valid() {
				return target, 0, "", errors.New("the call is signed already: take the signature out first")
			}
			if len(n.Inner()) > 0 || n.Token().Flags&xmltape.SelfClosing == 0 {
				return target, int(n.Token().End), "", nil
			}
			return target, 0, "", errors.New("write the empty CallerInformationSystemSignature as start tag and end tag, or leave it out")
		}
	}
	if !target.Valid() {
		return target, 0, "", errors.New("the element that the operation prescribes has no Id attribute: give it one, such as Id=\"SIGNED_BY_CALLER\"")
	}
	off, _ := call.Range()
	name := "CallerInformationSystemSignature"
	if tok := call.Token(); tok.PrefixLen > 0 {
		name = string(tape.Source()[off+1:off+1+int(tok.PrefixLen)]) + ":" + name
	}
	slot = int(tape.Tokens[call.Token().Match].Off)
	if last := lastChild(call); last.Local() == "Routing" {
		slot, _ = last.Range()
	}
	return target, slot, name, nil
}

func lastChild(n xmltape.Node) (last xmltape.Node) {
	for c := range n.Children() {
		last = c
	}
	return last
}

// operationElement is the SMEV call in a document: the root, or the child of a SOAP Body.
func operationElement(root xmltape.Node) xmltape.Node {
	const soap = "http://schemas.xmlsoap.org/soap/envelope/"
	if root.Is(soap, "Envelope") {
		root = root.Child(soap, "Body").First()
	}
	for n := range root.Children() {
		if _, ok := n.Attr("", "Id"); ok {
			return root
		}
	}
	return xmltape.Node{}
}
