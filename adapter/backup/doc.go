// Package backup is the room of backups: of what a gateway needs to go on after its
// machines are gone, as one point, in a place that is somebody else's disk. It knows
// how such a place is laid out, what is written into it in which order, and how it is
// read and checked again. It knows no SQL and no gateway: what is to be kept is given
// to it as streams and folders (cmd/mezhved does that), and a Place is where it goes.
//
// Who may enter: cmd/mezhved.
//
// # The layout of a place
//
//	objects/<aa>/<name>-<digest>    pieces of what is kept, encrypted, never changed
//	keys/<id>.age                   one backup's secrets, encrypted, by itself
//	backups/<id>.objects            names of the objects that a backup needs (zstd)
//	backups/<id>                    its manifest, a signed note: it is written last
//	erasures                        the vault's register as it last was
//
// An object is a piece of 1 MiB or so, cut where its content says (so that what comes
// again in the next backup is cut in the same places), compressed with zstd and
// encrypted with age (https://age-encryption.org) to the recipients. Its name is
// HMAC-SHA-256 of recipients and plain bytes under a key that is in the state folder
// alone: who looks at the place can neither read nor guess what is in it. Its digest is
// SHA-256 of the encrypted bytes: whoever has the place, and no key, can tell that every
// byte of it is still there (Check).
//
// So a backup is incremental by itself: what has an object already is not written
// again, of a database dump as of a folder of tiles. And it is resumable by itself: a
// backup that was killed has left objects and no manifest, and the next one finds them.
//
// # Two lives
//
// What the vault seals is destroyed by destroying its keys, and a copy of the keys
// that lives long undoes that. So secrets do not go where the data goes: they are one
// small file for each backup, for recipients and in a place of their own, and are kept
// for days where the data is kept for months (Prune). Files of the file store, which
// nothing seals, are each encrypted to a key pair of their own, whose secret half is
// among the secrets and nowhere else: the copy of a file ends with the keys, too.
//
// # Crashes
//
// An object, a list and a manifest are each whole or not there. A backup is there
// when its manifest is. Nothing of an earlier backup is ever written again; the
// register alone is replaced, by a longer one. A pruning that is killed has removed a
// manifest and not all of its objects, which the next one removes.
//
// # Trust
//
// Who can write to a place can remove backups, and put objects there that nobody
// reads: a manifest is signed with the log's key and names what belongs to it by
// digest. Who has the identity of the data and the place reads metadata: parties,
// services, times; content only with the secrets, too.
package backup
