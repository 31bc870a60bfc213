// Package envelopes is the words on the wire: the operations of SMEV 3,
// versions 1.1, 1.2 and 1.3, as both sides say them. It reads calls (Parse,
// Decode), writes answers and faults as the live bus writes them (Build), and
// does the same from a client's chair (Build methods of the calls, ParseAnswer).
// It also holds the WSDL and XSD that a gateway serves.
//
// Who may enter: bytes from anybody. Parse lets them through the gate of
// xmltape and gives an Envelope, which is untrusted and offers nothing but what
// is needed to verify it. The Decode functions take the element that a
// signature was proved to cover and read the call from exactly that element, so
// that what was verified is what is used. Parts of a call that no signature
// covers (attachment contents, the routing block with its own signature) are
// read from the Envelope and are marked as such.
// Who only passes a call on, to have another verify it, reads Claims instead.
//
// Decode holds calls against the schemas that are served (package data under
// schemas), and differs from them on purpose in a few places, all of them tested
// against libxml2 in TestCheckAgreesWithTheSchema:
//
//   - The sender's own MessageID may be any text here: what is no UUID of version 1
//     has a fault of its own, InvalidMessageIdFormat, and whether it matters is
//     the gateway's configuration. References to such ids must then pass as well:
//     AckTargetMessage is any text, other UUIDs may be in upper case.
//   - A missing CallerInformationSystemSignature is no matter of format, not even
//     where the schema requires it (GetStatus): the fault is NoSignatureFound.
//   - NamespaceURI and RootElementLocalName of a selector come together or not at
//     all, and empty ones count as absent. The schema has them independently
//     optional, as the live WSDL of 1.2 has: generic clients cannot write an
//     optional sequence.
//   - AsyncProcessingStatus is the bus's own; a participant who sends it is refused.
//   - Ids of attachments must differ, which xs:ID says and libxml2 does not check.
//
// The package knows no keys, no parties and no queues. It verifies nothing; it
// says where a signature must sit and what it must cover.
package envelopes
