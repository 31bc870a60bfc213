// Package papers is the doubter's room for what is signed in XML: the receipts that
// a party has kept, held against the log (ReadReceipts, Folder.Check), and the
// envelopes of a bundle (Signatures). It stands above package audit, which knows
// leaves and trees and no letters, and like it knows no database, no broker and,
// built with -tags offline, no network; it never enters the clerk's room. Everybody
// may enter: auditors and parties alike.
//
// # Crashes
//
// Everything here reads. WriteHole leaves a folder that is whole or not there.
//
// # Trust
//
// A receipt is believed when the bus's certificate, which the caller names, has
// signed it, and for what that signature covers. What a folder holds besides is not
// looked at. A log is believed as far as package audit proves it.
package papers
