package signing

import (
	"fmt"
	"net"
	"net/url"
)

// checkRemoteURL takes https anywhere, and http only to this machine: what is
// signed, and that it is signed, is nobody else's to see or change.
func checkRemoteURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("remote signer: %w", err)
	}
	host := u.Hostname()
	ip := net.ParseIP(host)
	local := host == "localhost" || ip != nil && ip.IsLoopback()
	switch {
	case u.Scheme == "https" && host != "":
		return nil
	case u.Scheme == "http" && local:
		return nil
	}
	return fmt.Errorf("remote signer %q: https is needed, or http to a loopback address", raw)
}
