// Package protocol is the test protocol of a service version: the paper that says
// what was tried, against which schema and samples, with whom, and what came of it,
// and that operator and participants sign before the version is published.
//
// On disk it is the folder "protocol" beside service.yaml:
//
//	protocol/protocol.json     what is signed: canonical JSON (RFC 8785), one writing for one Document
//	protocol/protocol.html     the same in Russian, for people and for the printer
//	protocol/MNEMONIC.p7s      a participant's detached signature over protocol.json (CMS, PEM)
//	protocol/forced.json       a publication without all that, with its reason (Force)
//
// A Document names every file of schema and tests with its digest (Inventory), every
// setting of service.yaml that decides what the service does and every dictionary that
// content is held against (Rules), so that a byte that changed, a file or a setting that
// came or went is told by name. Documents of releases before have no Rules and keep their
// meaning: they prove the files, and are Outdated for who is about to publish. Examine holds
// a folder against its protocol and gives a Standing: what is proved, what is not and
// why. It decides nothing; package adapter's registry lets a version be published or
// takes it back to the stage test by it.
//
// Who may enter: whoever reads, makes or shows protocols. It knows no gateway, no
// store and no network. Nothing is trusted but bytes: a protocol.json that is not
// the canonical writing of what it says is none, and a signature counts when the key
// is one that the registry has for its signer and its certificate was within its
// dates when it signed (by the time stamp in the signature, when a Judge believes its
// authority, else by the signer's own word) and was not revoked by then, as far as the
// Judge can tell; what he could not, the Signature says. Who can write to the registry's folders can register keys, and so sign for
// anybody; the journal, to which every protocol in force is told, does not forget it.
//
// A crash leaves the old file or the new one: files are written beside and renamed.
package protocol
