// Command refwitness is the reference witness of transparency-dev behind a
// socket, for the tests beside it: it watches one log and keeps its memory in
// memory. It prints its address and serves until it is killed.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"

	cosign "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/witness/persistence/inmemory"
	"github.com/transparency-dev/witness/witness"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	logKey, secret := os.Args[1], os.Args[2]
	v, err := note.NewVerifier(logKey)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := cosign.NewSignerForCosignatureV1(secret)
	if err != nil {
		log.Fatal(err)
	}
	w, err := witness.New(context.Background(), witness.Opts{Persistence: inmemory.New(), Signers: []note.Signer{signer},
		VerifierForLog: func(_ context.Context, origin string) (note.Verifier, bool, error) { return v, origin == v.Name(), nil }})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, http.HandlerFunc(witness.NewHTTPHandler(w).AddCheckpoint)))
}
