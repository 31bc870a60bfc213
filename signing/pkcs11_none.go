//go:build !pkcs11

package signing

import "errors"

func loadPKCS11(KeySource) (Signer, error) {
	return nil, errors.New("this build has no PKCS#11: build with -tags pkcs11 (needs cgo)")
}
