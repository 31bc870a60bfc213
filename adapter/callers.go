package adapter

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pires/go-proxyproto"
)

// The ways in which a proxy tells for whom it calls. One is believed, the one that
// the proxy writes itself: what stands in the others may come from the caller.
const (
	tellsForwardedFor = "X-Forwarded-For"
	tellsForwarded    = "Forwarded" // RFC 7239
	tellsPROXY        = "PROXY"     // the PROXY protocol, versions 1 and 2: HAProxy, nginx stream
)

// proxies are the neighbours whose word is taken for who calls: behind them all
// callers would be one address, and one noisy stranger would be everybody.
type proxies struct {
	trusted []netip.Prefix
	tells   string
}

// proxies reads the configuration.
func (c Config) proxies() (p proxies, err error) {
	for _, text := range c.TrustedProxies {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			var one netip.Addr
			if one, err = netip.ParseAddr(text); err != nil {
				return p, fmt.Errorf("an address or a network such as 10.1.2.0/24 is expected, not %q", text)
			}
			prefix = netip.PrefixFrom(one, one.BitLen())
		}
		p.trusted = append(p.trusted, prefix.Masked())
	}
	if p.tells = c.tells(); p.tells == "" {
		return p, errTells(c.ProxyHeader)
	}
	return p, nil
}

func errTells(header string) error {
	return fmt.Errorf("%s, %s or %s is expected, not %q", tellsForwardedFor, tellsForwarded, tellsPROXY, header)
}

// tells is the way of proxies to say for whom they call; empty: none that is known.
func (c Config) tells() string {
	for _, known := range []string{tellsForwardedFor, tellsForwarded, tellsPROXY} {
		if strings.EqualFold(c.ProxyHeader, known) {
			return known
		}
	}
	return ""
}

func (p proxies) trusts(a netip.Addr) bool {
	for _, prefix := range p.trusted {
		if prefix.Contains(a.Unmap()) {
			return true
		}
	}
	return false
}

// listener takes the PROXY protocol from trusted neighbours, in which it stands
// before anything else, TLS too. Others who send it have sent no HTTP.
func (p proxies) listener(l net.Listener) net.Listener {
	if len(p.trusted) == 0 || p.tells != tellsPROXY {
		return l
	}
	return &proxyproto.Listener{Listener: l, ReadHeaderTimeout: 5 * time.Second, ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
		if from, err := netip.ParseAddrPort(o.Upstream.String()); err == nil && p.trusts(from.Addr()) {
			return proxyproto.USE, nil // its probes may come without
		}
		return proxyproto.SKIP, nil
	}}
}

// handler gives the doors the caller's own address as the request's RemoteAddr.
func (p proxies) handler(doors http.Handler) http.Handler {
	if len(p.trusted) == 0 || p.tells == tellsPROXY {
		return doors
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if caller, ok := p.caller(r); ok {
			r.RemoteAddr = net.JoinHostPort(caller.String(), "0")
		}
		doors.ServeHTTP(w, r)
	})
}

// caller follows the chain of proxies from us outwards as far as it is trusted:
// the first address that is not is the caller, whatever it has written before.
func (p proxies) caller(r *http.Request) (caller netip.Addr, ok bool) {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !p.trusts(at.Addr()) {
		return caller, false
	}
	for _, line := range slices.Backward(r.Header.Values(p.tells)) {
		for more := true; more; {
			var element string
			line, element, more = p.cutLast(line, ',')
			hop, good := p.hop(element)
			if !good {
				return caller, ok // hidden, or no address: nearer than this nobody is known
			}
			caller, ok = hop, true
			if !p.trusts(hop) {
				return caller, ok
			}
		}
	}
	return caller, ok
}

// cutLast takes the last element off a list. In Forwarded a separator in quotation
// marks is none: a proxy writes there what the caller chose, such as the host that
// it asked for. It is read from the end, which is the proxy's own, so that a mark
// that the caller has left open hides nothing of it.
func (p proxies) cutLast(list string, separator byte) (before, last string, more bool) {
	quoted := false
	for i := len(list) - 1; i >= 0; i-- {
		switch {
		case list[i] == separator && !quoted:
			return list[:i], list[i+1:], true
		case list[i] == '"' && p.tells == tellsForwarded:
			escapes := len(list[:i]) - len(strings.TrimRight(list[:i], `\`))
			if escapes%2 == 0 {
				quoted = !quoted
			}
			i -= escapes
		}
	}
	return "", list, false
}

// hop reads one element of the chain.
func (p proxies) hop(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	if p.tells == tellsForwarded {
		who := ""
		for more := true; more; {
			var pair string
			text, pair, more = p.cutLast(text, ';')
			if name, value, _ := strings.Cut(strings.TrimSpace(pair), "="); strings.EqualFold(name, "for") {
				if who != "" {
					return netip.Addr{}, false // RFC 7239, section 4: once
				}
				who = strings.TrimSuffix(strings.TrimPrefix(value, `"`), `"`)
			}
		}
		text = who
	}
	if withPort, err := netip.ParseAddrPort(text); err == nil {
		return withPort.Addr().Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	return a.Unmap().WithZone(""), err == nil
}

// Neighbourhood is what of a caller's address is counted as one caller: an IPv4
// address whole, of an IPv6 address the first 64 bits, for whoever has one of that
// network has all of them (RFC 6177; RFC 4291, section 2.5.4). What is no address
// stands for itself.
func Neighbourhood(address string) string {
	if !strings.Contains(address, ":") {
		return address // of IPv4, which has one form, or none
	}
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if a = a.Unmap().WithZone(""); a.Is4() {
		return a.String()
	}
	return netip.PrefixFrom(a, 64).Masked().String()
}
