package ingest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// SenderIPs are the addresses from which POSTIDENT sends webhooks (guide 5).
// Other services send from them too (facts 4), so they are no authentication.
func SenderIPs() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("165.72.200.13/32"),
		netip.MustParsePrefix("199.40.127.49/32"),
		netip.MustParsePrefix("156.137.9.65/32"),
	}
}

// addressCheck decides by address who may deliver webhooks.
type addressCheck struct {
	allowed []netip.Prefix // unmapped
	trusted []netip.Prefix // unmapped; proxies whose X-Forwarded-For counts
}

func newAddressCheck(allowed, trusted []netip.Prefix) (addressCheck, error) {
	if len(allowed) == 0 {
		allowed = SenderIPs()
	}
	var c addressCheck
	var err1, err2 error
	c.allowed, err1 = unmapPrefixes("allowed ips", allowed)
	c.trusted, err2 = unmapPrefixes("trusted proxies", trusted)
	return c, errors.Join(err1, err2)
}

// unmapPrefixes writes IPv4-mapped IPv6 prefixes as IPv4 ones, because a
// dual-stack socket and a header may name one address in either form.
func unmapPrefixes(what string, in []netip.Prefix) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(in))
	for _, p := range in {
		if !p.IsValid() {
			return nil, fmt.Errorf("%s: invalid prefix", what)
		}
		if p.Addr().Is4In6() {
			if p.Bits() < 96 {
				return nil, fmt.Errorf("%s: %v reaches beyond the IPv4-mapped addresses", what, p)
			}
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// client returns the address that the request comes from: the peer, or, when
// the peer is a trusted proxy, the rightmost address of X-Forwarded-For that is
// no trusted proxy. Everything to the left of that one was written by the
// client and proves nothing. An entry on the way that is no address makes the
// client unknown (ok false): it is never skipped, since what is behind it is
// not vouched for. When all entries are trusted proxies, or there is no
// header, the client is the last of them.
func (c addressCheck) client(remoteAddr string, forwardedFor []string) (addr netip.Addr, ok bool) {
	peer, err := netip.ParseAddrPort(remoteAddr)
	if err != nil {
		return netip.Addr{}, false
	}
	addr = peer.Addr().Unmap().WithZone("")
	// Lines count in order, as if they were one line (RFC 9110 5.3).
	for _, line := range slices.Backward(forwardedFor) {
		for more := true; more; {
			if !contains(c.trusted, addr) {
				return addr, true
			}
			entry := line
			if i := strings.LastIndexByte(line, ','); i >= 0 {
				line, entry = line[:i], line[i+1:]
			} else {
				more = false
			}
			if addr, ok = parseForwarded(strings.Trim(entry, " \t")); !ok {
				return netip.Addr{}, false
			}
		}
	}
	return addr, true
}

// parseForwarded reads one entry of X-Forwarded-For: an address, or an address
// with a port as some proxies write it. A zone means nothing on another host.
func parseForwarded(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		if bare, found := strings.CutPrefix(s, "["); found && strings.HasSuffix(bare, "]") {
			addr, err = netip.ParseAddr(strings.TrimSuffix(bare, "]"))
			if err == nil && addr.Is4() {
				return netip.Addr{}, false
			}
		} else {
			var ap netip.AddrPort
			ap, err = netip.ParseAddrPort(s)
			addr = ap.Addr()
		}
	}
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}

// allows reports whether the sender may have this address.
func (c addressCheck) allows(addr netip.Addr) bool { return contains(c.allowed, addr) }

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}
