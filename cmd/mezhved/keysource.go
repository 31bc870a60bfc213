package main

import (
	"strings"

	"mezhved/signing"
)

// keySource reads the three file names by which a key is named everywhere.
func keySource(key, cert, passwordFile string) signing.KeySource {
	lower := strings.ToLower(key)
	if strings.HasSuffix(lower, ".p12") || strings.HasSuffix(lower, ".pfx") {
		return signing.KeySource{PKCS12: key, Certificate: cert, PasswordFile: passwordFile}
	}
	return signing.KeySource{Key: key, Certificate: cert, PasswordFile: passwordFile}
}
