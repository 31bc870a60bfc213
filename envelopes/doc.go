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
//
// The package knows no keys, no parties and no queues. It verifies nothing; it
// says where a signature must sit and what it must cover.
package envelopes
