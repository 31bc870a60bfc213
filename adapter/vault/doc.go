// Package vault is the room of the keys that content and values are sealed with,
// and of their end. It keeps them in a folder of files, apart from the database,
// the bus and the backups of both: whoever has those and not the folder has random
// numbers, and what is destroyed here is gone there too.
//
// Who seals and opens may enter: the journal's writer (by journal.Vault), the
// store and the commands. The auditor's side never does, and needs no key of it:
// leaves and proofs say nothing that is sealed.
//
// Content (bodies, attachments, refused bytes, receipts) is sealed by SealContent,
// each item with a key of its own: no list of keys is kept, the key is a leaf of the
// tree of its class and month (see tree.go). Erase takes single leaves away, or all
// before a time, and writes its register, by which a restored backup is held to what
// was erased since. Values behind the journal's entries are sealed with one key for
// a class and month; Destroy takes those. While they wait for their entries it is one for
// each second (SealWaiting), of a class that ends after two days.
//
// A key is on the disk before anything is sealed with it, so a crash leaves no box
// that nobody can open, and a full disk makes no key and takes none away. Several nodes use one folder, on a file system that has
// locks (flock): of two that make a key at once both use the same one, and a node
// notices within a second what another one has erased. An erasure is in the register
// before any key goes, so after a crash the same call ends it.
//
// What is erased here is back when an older copy of the folder is: keep few backups
// of it, and for a short time.
//
// # What an attacker can do who can write here
//
// Who can read the folder and the database reads everything that is not erased.
// Who can write to the folder can destroy what is sealed, and change none of it.
package vault
