package signing

import (
	"fmt"
	"time"

	"mezhved/envelopes/xmltape"
)

// Code names the reason why a signature was refused or could not be made. Codes
// are stable: faults, metrics and reports depend on them.
type Code string

// The codes.
const (
	NoSignature             Code = "no-signature"              // there is no ds:Signature where one is prescribed
	WrongTarget             Code = "wrong-target"              // the signature covers another element than the prescribed one
	DuplicateID             Code = "duplicate-id"              // two elements claim one Id
	Malformed               Code = "malformed"                 // ds:Signature is not built as the profile has it
	BadAlgorithm            Code = "algorithm"                 // an algorithm or transform outside the allowed lists
	Unsignable              Code = "unsignable"                // content for which the SMEV transform is not defined, or makes many times as much
	CertificateMissing      Code = "certificate-missing"       // no X509Certificate
	CertificateMalformed    Code = "certificate-malformed"     // X509Certificate cannot be read
	KeyUnfit                Code = "key-unfit"                 // a key too short, on an unknown curve, or not of the algorithm's kind
	CertificateExpired      Code = "certificate-expired"       // NotAfter has passed
	CertificateNotYetValid  Code = "certificate-not-yet-valid" // NotBefore is to come
	CertificateUntrusted    Code = "certificate-untrusted"     // no chain to a configured root
	CertificateUnregistered Code = "certificate-unregistered"  // not among the registered certificates
	CertificateUsage        Code = "certificate-usage"         // its key may not be used for signatures
	CertificateRevoked      Code = "certificate-revoked"       // a CRL or OCSP answer says so
	RevocationUnknown       Code = "revocation-unknown"        // nobody could say, and the policy is to fail closed
	ValueInvalid            Code = "value-invalid"             // SignatureValue does not match SignedInfo and key
	DigestMismatch          Code = "digest-mismatch"           // the target is not what was signed
	SignerFailed            Code = "signer-failed"             // the key's holder did not sign
)

// Error is a refusal: why a signature was not accepted, or not made.
type Error struct {
	Code        Code
	Offset      int    // byte offset in the document of what is wrong
	Path        string // XPath of the element there; empty outside a document
	Detail      string // what was found, for the log; may name algorithms and Ids, never content
	NotBefore   time.Time
	NotAfter    time.Time           // set with the certificate codes
	Certificate *Certificate        // as far as it was read
	Slip        *Deviation          // what its signer did wrong, where a file's signature tells
	Revocation  []*RevocationAnswer // of the revocation codes: the answers that were had, up to the one that refused
	Err         error               // the cause, if any

	format string // of Detail, where it is about a place in a document
	args   []any
}

// WithoutValues is code and place, for logs: a detail may name what the caller
// wrote, a cause the certificate's subject.
func (e *Error) WithoutValues() string {
	s := "signature: " + string(e.Code)
	if e.Path != "" {
		s += " at " + e.Path
	}
	if e.Code == RevocationUnknown && e.Err != nil {
		s += ": " + e.Err.Error() // of the authority's servers
	}
	return s
}

// Error gives code, place and detail.
func (e *Error) Error() string {
	s := "signature: " + string(e.Code)
	if e.Path != "" {
		s += " at " + e.Path
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// refuse builds the Error for a place in a document.
func refuse(code Code, at xmltape.Node, format string, args ...any) *Error {
	off, _ := at.Range()
	return &Error{Code: code, Offset: off, Path: at.XPath(), Detail: fmt.Sprintf(format, args...), format: format, args: args}
}
