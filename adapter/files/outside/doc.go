// Package outside lets somebody else's client at the file store's S3 door:
// minio-go, through a whole gateway. It is a module of its own, so that nothing
// of the client's gets into ours.
package outside
