package main

import (
	"bytes"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
)

// pageFiles are the page and, when "make browser" has put them there before the
// program was built, what makes it whole.
//
//go:embed page
var pageFiles embed.FS

const (
	pageProgram = "page/browser.wasm.gz" // command browser
	pageRuntime = "page/wasm_exec.js"    // of the Go that compiled it
)

type pageCommand struct{}

// Help says what the page checks.
func (*pageCommand) Help() string {
	return `The page checks the log's proofs with its own script. Signatures in envelopes, certificate paths, revocation, time stamps and ML-DSA are checked by this very program, which the page holds as WebAssembly.
A program that was built without "make browser" (make build does it) writes the page without that part, and says so.`
}

// Run implements the command.
func (*pageCommand) Run(s *streams) error {
	page, whole, err := assemblePage(pageFiles)
	if err != nil {
		return err
	}
	if !whole {
		fmt.Fprintln(s.err, `mezhved-audit: this program was built without its part for browsers: the page checks the log's proofs and leaves signatures, certificates, time stamps and ML-DSA to "mezhved-audit verify"; "make build" builds a program whose page checks them too`)
	}
	_, err = s.out.Write(page)
	return err
}

// assemblePage is the page, whole if files have all of it.
func assemblePage(files fs.FS) (page []byte, whole bool, err error) {
	if page, err = fs.ReadFile(files, "page/verify.html"); err != nil {
		return nil, false, err
	}
	program, err := fs.ReadFile(files, pageProgram)
	runtime, err2 := fs.ReadFile(files, pageRuntime)
	if err = errors.Join(err, err2); errors.Is(err, fs.ErrNotExist) {
		return page, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	var parts bytes.Buffer
	fmt.Fprintf(&parts, "<script type=\"application/octet-stream\" id=\"program\">%s</script>\n<script>\n%s\n</script>\n</body>", base64.StdEncoding.EncodeToString(program), runtime)
	return bytes.Replace(page, []byte("</body>"), parts.Bytes(), 1), true, nil
}
