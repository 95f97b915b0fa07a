package ingest_test

import (
	"net/http"
	"net/netip"
	"testing"

	"postident-bridge/ingest"
)

func prefixes(tb testing.TB, in ...string) []netip.Prefix {
	tb.Helper()
	out := make([]netip.Prefix, len(in))
	for i, s := range in {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			tb.Fatal(err)
		}
		out[i] = p
	}
	return out
}

// A forged X-Forwarded-For must not pass, and an honest one must.
func TestAddressCheckBehindProxies(t *testing.T) {
	t.Parallel()
	const good, stranger = "165.72.200.13", "203.0.113.9"
	tests := map[string]struct {
		remote    string
		forwarded []string // header lines
		want      bool
	}{
		"sender itself": {good + ":4711", nil, true},
		"sender itself, its header does not count":        {good + ":4711", []string{stranger}, true},
		"sender itself, IPv4-mapped":                      {"[::ffff:165.72.200.13]:4711", nil, true},
		"stranger":                                        {stranger + ":4711", nil, false},
		"stranger with a header":                          {stranger + ":4711", []string{good}, false},
		"stranger with many lines":                        {stranger + ":4711", []string{good, good, good}, false},
		"stranger that names a proxy":                     {stranger + ":4711", []string{good + ", 10.0.0.1"}, false},
		"neighbour of the sender":                         {"165.72.200.14:4711", nil, false},
		"sender's address in another family":              {"[2002:a548:c80d::1]:4711", nil, false},
		"proxy":                                           {"10.0.0.1:1", []string{good}, true},
		"proxy, IPv4-mapped peer":                         {"[::ffff:10.0.0.1]:1", []string{good}, true},
		"proxy, IPv6 peer":                                {"[fd00::1]:1", []string{good}, true},
		"proxy, link-local peer with a zone":              {"[fe80::1%eth0]:1", []string{good}, true},
		"proxy written as IPv4-mapped prefix":             {"198.18.0.7:1", []string{good}, true},
		"proxy without a header":                          {"10.0.0.1:1", nil, false},
		"proxy with an empty header":                      {"10.0.0.1:1", []string{""}, false},
		"proxy with a blank":                              {"10.0.0.1:1", []string{"  "}, false},
		"stranger through the proxy":                      {"10.0.0.1:1", []string{stranger}, false},
		"stranger forges one entry":                       {"10.0.0.1:1", []string{good + ", " + stranger}, false},
		"stranger forges many":                            {"10.0.0.1:1", []string{good + "," + good + "," + good + "," + stranger}, false},
		"stranger forges a line of its own":               {"10.0.0.1:1", []string{good, stranger}, false},
		"stranger forges a proxy before it":               {"10.0.0.1:1", []string{good + ", 10.0.0.2, " + stranger}, false},
		"sender, with what it wrote itself":               {"10.0.0.1:1", []string{stranger + ", " + good}, true},
		"sender, garbage left of it":                      {"10.0.0.1:1", []string{"<script>, ,,, " + good}, true},
		"two proxies":                                     {"10.0.0.1:1", []string{good + ", 10.0.0.2"}, true},
		"two proxies in two lines":                        {"10.0.0.1:1", []string{good, "10.0.0.2"}, true},
		"three proxies in two lines":                      {"10.0.0.1:1", []string{stranger + "," + good, "10.0.0.3,10.0.0.2"}, true},
		"two proxies, a stranger behind them":             {"10.0.0.1:1", []string{stranger + ", 10.0.0.2"}, false},
		"only proxies":                                    {"10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, false},
		"a proxy that is not trusted in between":          {"10.0.0.1:1", []string{good + ", 192.0.2.4, 10.0.0.2"}, false},
		"garbage nearest to us":                           {"10.0.0.1:1", []string{good + ", garbage"}, false},
		"unknown nearest to us":                           {"10.0.0.1:1", []string{good + ", unknown"}, false},
		"an empty entry nearest to us":                    {"10.0.0.1:1", []string{good + ","}, false},
		"an empty line nearest to us":                     {"10.0.0.1:1", []string{good, ""}, false},
		"garbage behind a proxy":                          {"10.0.0.1:1", []string{good + ", garbage, 10.0.0.2"}, false},
		"with a port":                                     {"10.0.0.1:1", []string{good + ":51234"}, true},
		"with a port that is none":                        {"10.0.0.1:1", []string{good + ":99999"}, false},
		"with an empty port":                              {"10.0.0.1:1", []string{good + ":"}, false},
		"IPv4-mapped":                                     {"10.0.0.1:1", []string{"::ffff:" + good}, true},
		"IPv4-mapped in brackets":                         {"10.0.0.1:1", []string{"[::ffff:" + good + "]"}, true},
		"IPv4-mapped in brackets with a port":             {"10.0.0.1:1", []string{"[::ffff:" + good + "]:443"}, true},
		"IPv4 in brackets":                                {"10.0.0.1:1", []string{"[" + good + "]"}, false},
		"IPv4-compatible is another address":              {"10.0.0.1:1", []string{"::" + good}, false},
		"NAT64 is another address":                        {"10.0.0.1:1", []string{"64:ff9b::" + good}, false},
		"IPv6 that is allowed":                            {"10.0.0.1:1", []string{"2001:db8::17"}, true},
		"IPv6 that is allowed, long form":                 {"10.0.0.1:1", []string{"2001:0DB8:0:0:0:0:0:17"}, true},
		"IPv6 that is not":                                {"10.0.0.1:1", []string{"2001:db8::18"}, false},
		"with a zone":                                     {"10.0.0.1:1", []string{"2001:db8::17%eth0"}, false},
		"with a zone in brackets":                         {"10.0.0.1:1", []string{"[2001:db8::17%eth0]:1"}, false},
		"octal":                                           {"10.0.0.1:1", []string{"0245.72.200.13"}, false},
		"leading zero":                                    {"10.0.0.1:1", []string{"165.072.200.13"}, false},
		"decimal":                                         {"10.0.0.1:1", []string{"2772945933"}, false},
		"with a mask":                                     {"10.0.0.1:1", []string{good + "/32"}, false},
		"quoted":                                          {"10.0.0.1:1", []string{`"` + good + `"`}, false},
		"as in Forwarded (RFC 7239), which is not spoken": {"10.0.0.1:1", []string{"for=" + good}, false},
		"separated by semicolons":                         {"10.0.0.1:1", []string{stranger + ";" + good}, false},
		"separated by blanks":                             {"10.0.0.1:1", []string{stranger + " " + good}, false},
		"blanks and tabs around":                          {"10.0.0.1:1", []string{"\t " + good + " \t"}, true},
		"a NUL behind":                                    {"10.0.0.1:1", []string{good + "\x00"}, false},
		"no address of the peer":                          {"", []string{good}, false},
		"a peer on a Unix socket":                         {"@", []string{good}, false},
		"a peer without a port":                           {good, nil, false},
	}
	r := newRig(t, rigOption{config: func(c *ingest.WebhookConfig) {
		c.AllowedIPs = append(ingest.SenderIPs(), prefixes(t, "2001:db8::17/128")...)
		c.TrustedProxies = prefixes(t, "10.0.0.0/8", "fd00::/8", "fe80::/10", "::ffff:198.18.0.0/112")
	}})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := r.serve(post(t.Context(), "ACME", goodBody, from(tc.remote), func(r *http.Request) {
				for _, line := range tc.forwarded {
					r.Header.Add("X-Forwarded-For", line)
				}
				r.Header.Set("X-Real-Ip", good)
				r.Header.Set("Forwarded", "for="+good)
			}))
			want := http.StatusForbidden
			if tc.want {
				want = http.StatusOK
			}
			if w.Code != want {
				t.Errorf("code %d, want %d", w.Code, want)
			}
		})
	}
}
