// Package files is the file store: the room for files that are too large to
// travel in messages. A sender brings a file through a door of its own (FTP in
// passive mode, or the part of S3 that it takes), into a folder that it names with a UUID of version 1, and then
// sends a message that refers to the folder and says the file's digest. Whoever
// is handed that message is handed an account with it, and fetches the file
// under it. When all recipients have acknowledged, the file goes.
//
// Who may enter: cmd/mezhved, which builds the store and its door and gives them
// to the gateway as adapter.FileStore, and tests. The index, which file is where
// and which message holds it, is in the database (package postgres) and comes as
// an Index; here are the bytes and the door.
//
// # The disk
//
// All nodes share one directory. In it is one folder for each UUID that a sender
// named, and in that the bytes under random names: names that senders give are
// kept in the index and never reach the disk, and neither does anything else
// that a caller wrote but a UUID that was parsed. Bytes are written under a name
// that begins with "part-", synced, renamed, the folder synced, and only then
// put into the index. They never change after that: a file that is brought again
// gets new bytes under another name. So do the parts of an S3 upload, which the
// index names one by one, until they are put together.
//
// What counts against the limits is what lies there: each file and each part once,
// however often it was brought and in whatever order, from the moment that the index
// names it until it does not any more, and what is on its way as it comes. Only what
// a crash has left counts nothing until the sweep removes it.
//
// # Crashes
//
// Killed while a file is brought: a part is left, which no entry names, and the
// sender brings the file again. Killed between the rename and the index: the
// same. Killed after the index: the old bytes of a replaced file or part are left. Killed
// between forgetting a file and removing its bytes: the bytes are left. What no
// entry names is removed by the sweep once it is old, so nobody has to mend
// anything. The other way round, an entry whose bytes are not there, cannot come
// of a crash; should the disk have lost them, a message that refers to them is
// refused, because Find looks.
//
// A file that a message holds cannot be changed or forgotten: the reference and
// the message are committed by one statement, and the database refuses both ways
// of being too late (the file was replaced or swept while the message was
// accepted; the message was accepted while the file was being swept).
//
// # Whose a file is
//
// The protocol's senders are anonymous, and an address proves nothing: whole
// departments stand behind one, and a UUID of version 1 can be guessed. So nobody owns
// a folder. It holds what was brought into it, by each session its own, and a message
// says by the digest that was signed which of these files it means. Only the session
// of the FTP door that has brought a file may replace or delete it, until a message
// refers to it; from then on nobody brings anything else into the folder. What another
// session brings lies beside it, also under the same name. A sender that has lost an
// answer does all of it again (MKD, CWD, STOR): the same bytes under the same name,
// from the same address, are not kept twice, and as two have been told that they are
// kept, no session may delete them any more. A call of the S3 door is a session by
// itself, so there a file is brought and not deleted; parts of an upload may be brought
// by who knows its name, which is long and random.
//
// What broke off gives way to what comes next from the same address, because that is
// how senders go on: in a new session, behind what SIZE says. So much is left to who
// shares an address with a sender and knows the UUID: to spoil what is not whole yet,
// so that all of it has to be brought again; and to use up the limits of that address.
//
// # Trust
//
// Who reaches the door and has the upload password, if one is set (the protocol's
// own toolset ships with one that everybody knows), can fill the store up to its
// limits, and can read nothing. Who has an account from a poll can read the
// files of that one message while it waits. FTP without AUTH TLS is in the clear:
// like the bus's own it belongs into a protected network. Content is safe from change
// all the same, because the digest is in what the sender signed; it is not kept
// secret. Under TLS (RFC 4217) what was said before AUTH counts for nothing, and an
// upload that ends without TLS's goodbye is one that broke off. A data connection
// must come from the address of its session; that it takes up the TLS session of that
// one is not demanded, because clients in use do not.
package files
