package main

import (
	"fmt"
	"os"

	"mezhved/signing"
)

// readCertificates reads the certificates of some PEM or DER files.
func readCertificates(files []string) ([]*signing.Certificate, error) {
	var out []*signing.Certificate
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		certs, err := signing.ParsePEMCertificates(src)
		if err != nil {
			one, derErr := signing.ParseCertificate(src)
			if derErr != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			certs = []*signing.Certificate{one}
		}
		out = append(out, certs...)
	}
	return out, nil
}
