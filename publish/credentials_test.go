package publish

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postident-bridge/internal/scr"
)

// gatekeeper is an API that refuses credentials until they are mended, and writes
// down when it was asked.
type gatekeeper struct {
	now    time.Time
	mended time.Time
	asked  []time.Time
}

func (g *gatekeeper) RoundTrip(r *http.Request) (*http.Response, error) {
	g.asked = append(g.asked, g.now)
	status, body := http.StatusOK, `[]`
	switch {
	case g.now.Before(g.mended):
		status = http.StatusUnauthorized
	case strings.Contains(r.URL.Path, caseName(1)):
		body = `{"caseId":"` + caseName(1) + `","caseStatus":{"created":"2026-01-02T03:04:05Z"}}`
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// TestRefusedCredentialsOfAClientThatIsShared: whoever else uses the account's
// client, and whenever, no two requests are closer than five minutes while the
// credentials are refused, and a worker that has something to read needs no more
// than that to find out that they are mended: the breaker and the client's lock
// do not wait for each other.
func TestRefusedCredentialsOfAClientThatIsShared(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seconds := func(label string, from, to int) time.Duration {
			return time.Duration(rapid.IntRange(from*10, to*10).Draw(t, label)) * time.Second / 10
		}
		api := &gatekeeper{now: retryNow, mended: retryNow.Add(seconds("mended after", 1, 2000))}
		client, err := scr.NewClient(scr.ClientConfig{
			BaseURL: "https://postident.example", ClientID: "ACCT0001", Username: "u", Password: "p",
			Encryption: scr.EncryptionOptional, Transport: api, Now: func() time.Time { return api.now },
		})
		if err != nil {
			t.Fatal(err)
		}
		acct := newAccount(Account{}, Config{ReadsPerAccount: 1})
		sweepEvery := seconds("sweep every", 1, 400)
		nextSweep := retryNow.Add(seconds("first sweep", 0, 400))
		nextRead := retryNow.Add(seconds("first read", 0, 400))
		var read time.Time
		for step := seconds("step", 1, 2) / 10; read.IsZero(); api.now = api.now.Add(step) {
			if api.now.Sub(api.mended) > time.Hour {
				t.Fatal("never read")
			}
			if !api.now.Before(nextSweep) {
				_, _ = client.Cases(t.Context(), scr.Filter{Closed: true}, func(scr.Listed) {})
				nextSweep = api.now.Add(sweepEvery)
			}
			if api.now.Before(nextRead) || !acct.allow(api.now) {
				continue
			}
			_, err := client.Case(t.Context(), caseName(1))
			f := classify(err)
			acct.report(api.now, caseName(1), f, retryAfterOf(err))
			switch {
			case err == nil:
				read = api.now
			case f.reason != "unauthorised":
				t.Fatalf("a read says %s: %v", f.reason, err)
			}
		}
		for i := 1; i < len(api.asked) && api.asked[i].Before(api.mended); i++ {
			if apart := api.asked[i].Sub(api.asked[i-1]); apart < 5*time.Minute {
				t.Fatalf("requests %v apart", apart)
			}
		}
		const slack = 5 * time.Second // of jitter, steps, and of a second for the other's probe
		if took := read.Sub(laterOf(api.mended, nextRead)); took > unauthorisedPause+slack {
			t.Fatalf("mended credentials found out after %v", took)
		}
	})
}
