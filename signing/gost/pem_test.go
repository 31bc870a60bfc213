package gost

import (
	"encoding/pem"
	"fmt"
)

// Keys as the openssl program reads and writes them.

func publicPEM(k *PublicKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: MarshalPublicKey(k)})
}

func privatePEM(k *PrivateKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: MarshalPrivateKey(k)})
}

func parsePublicPEM(text []byte) (*PublicKey, error) {
	return fromPEM(text, "PUBLIC KEY", ParsePublicKey)
}

func parsePrivatePEM(text []byte) (*PrivateKey, error) {
	return fromPEM(text, "PRIVATE KEY", ParsePrivateKey)
}

func fromPEM[K any](text []byte, kind string, parse func([]byte) (K, error)) (k K, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == kind {
			return parse(block.Bytes)
		}
	}
	return k, fmt.Errorf("no PEM block %q", kind)
}
