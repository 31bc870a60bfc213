// Package vault is the room of the keys that content and values are sealed with,
// and of their end. It keeps them in a folder of files, apart from the database,
// the bus and the backups of both: whoever has those and not the folder has random
// numbers, and what is destroyed here is gone there too.
//
// Who seals and opens may enter: the journal's writer (by journal.Vault), the
// store and the commands. The auditor's side never does, and needs no key of it:
// leaves and proofs say nothing that is sealed.
//
// A key is on the disk before anything is sealed with it, so a crash leaves no box
// that nobody can open. Several nodes use one folder: of two that make a key at
// once both use the same one.
//
// # What an attacker can do who can write here
//
// Who can read the folder and the database reads everything that is not erased.
// Who can write to the folder can destroy what is sealed, and change none of it.
package vault
