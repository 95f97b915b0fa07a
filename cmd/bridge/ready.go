package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

const (
	// askTimeout bounds one question of `ready`; the answer takes readyTimeout at most.
	askTimeout = 3 * time.Second
	// askAgain is the pause between two questions.
	askAgain = 500 * time.Millisecond
	// maxReadyAnswer bounds what is read of an answer.
	maxReadyAnswer = 1 << 20
)

func (m *Main) readyCommand() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "ready [URL]",
		Short: "Ask a running bridge whether it is ready",
		Long: `Asks /readyz of a running bridge, prints what each role says, and exits 1 if one is
not ready or nobody answers. No proxy of the environment is used. It is for places
without curl: the image holds the bridge and nothing else.`,
		Example: `  bridge ready
  bridge ready --wait 1m http://postident-bridge-webhook-admin:9090/readyz?role=webhook`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			target := "http://127.0.0.1:9090/readyz"
			if len(args) == 1 {
				target = args[0]
			}
			if err := checkReadyURL(target); err != nil {
				return err
			}
			if wait < 0 {
				return &usageError{"--wait: must not be negative"}
			}
			bound := askTimeout
			if wait > 0 {
				bound = wait
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), bound)
			defer cancel()
			answer, err := awaitReady(ctx, target, wait > 0)
			if err != nil {
				return err
			}
			return m.printReady(answer)
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", 0, "ask again for so long until it is ready")
	return cmd
}

// checkReadyURL does not show the URL: it may hold a password.
func checkReadyURL(target string) error {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return &usageError{"the address is no http or https URL, such as http://127.0.0.1:9090/readyz"}
	}
	return nil
}

// awaitReady returns the answer of target, with again the first that is ready or
// the last before ctx ends. The error is of the last question, if it had none.
func awaitReady(ctx context.Context, target string, again bool) (readyAnswer, error) {
	client := readyClient()
	defer client.CloseIdleConnections()
	var (
		last    readyAnswer
		lastErr = errors.New("ask for readiness: no time")
	)
	for ctx.Err() == nil {
		answer, err := askReady(ctx, client, target)
		if ctx.Err() == nil || err == nil {
			last, lastErr = answer, err // an answer that the end of the time cut off says nothing new
		}
		if !again || err == nil && answer.Ready {
			return answer, err
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
		}
	}
	return last, lastErr
}

// readyClient uses no proxy: a bridge is near, and what the environment names is for
// what is far.
func readyClient() *http.Client { return &http.Client{Transport: &http.Transport{}} }

// askReady asks once. An answer that says "not ready" is no error.
func askReady(ctx context.Context, client *http.Client, target string) (readyAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return readyAnswer{}, fmt.Errorf("ask for readiness: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return readyAnswer{}, fmt.Errorf("ask for readiness: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	var answer readyAnswer
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxReadyAnswer)).Decode(&answer); err != nil {
		return readyAnswer{}, fmt.Errorf("ask for readiness: %s answers %s, not as a bridge does", req.URL.Redacted(), resp.Status)
	}
	// What counts is the code, as for Kubernetes.
	answer.Ready = resp.StatusCode == http.StatusOK
	return answer, nil
}

func (m *Main) printReady(answer readyAnswer) error {
	roles := make([]string, 0, len(answer.Roles))
	for role := range answer.Roles {
		roles = append(roles, role)
	}
	slices.Sort(roles)
	for _, role := range roles {
		state := "ready"
		if s := answer.Roles[role]; !s.Ready {
			state = "not ready: " + s.Reason
		}
		if _, err := fmt.Fprintf(m.Stdout, "%s: %s\n", role, state); err != nil {
			return fmt.Errorf("print readiness: %w", err)
		}
	}
	if !answer.Ready {
		return &reportedError{"not ready"}
	}
	return nil
}
