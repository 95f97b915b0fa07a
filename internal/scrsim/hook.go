package scrsim

import (
	"bytes"
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// The sender's timing (guide 5).
const (
	hookAnswerTime  = 2 * time.Second // real time, whatever the scale
	hookSecondRetry = 900 * time.Second
	hookThirdRetry  = 3600 * time.Second
	hookAttempts    = 4
)

// hookOvertakes is the head start of a webhook before the one that it overtakes.
const hookOvertakes = 100 * time.Millisecond

// hook is one webhook on its way.
type hook struct {
	change             int
	clientID           string
	caseID             string
	referenceID        string // "" leaves it out
	target             string
	url                string
	username, password string

	attempt int       // the one to come, from 1
	due     time.Time // real
	order   uint64    // of equal due times, the first queued goes first
	index   int       // in the heap, -1 outside
}

// hookQueue delivers webhooks.
type hookQueue struct {
	clock  clock
	client *http.Client
	own    *http.Transport // nil when the transport was given
	slots  chan struct{}   // bounds what is under way
	wake   chan struct{}

	mu       sync.Mutex // guards everything below
	waiting  hookHeap
	queued   uint64
	held     map[string]*hook // by case: held back until the next of the case
	underWay int
	attempts []HookAttempt
}

func newHookQueue(c clock, transport http.RoundTripper, concurrency int) *hookQueue {
	q := &hookQueue{
		clock: c, slots: make(chan struct{}, concurrency), wake: make(chan struct{}, 1),
		held: make(map[string]*hook),
	}
	if transport == nil {
		q.own = &http.Transport{
			MaxIdleConnsPerHost: concurrency, IdleConnTimeout: time.Minute,
			TLSHandshakeTimeout: hookAnswerTime,
		}
		transport = q.own
	}
	q.client = &http.Client{
		Transport: transport,
		// A redirect is an answer other than 200.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return q
}

// send queues a webhook with the fault that befalls it.
func (q *hookQueue) send(h hook, fault hookFault, late time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	key := h.target + "/" + h.caseID
	h.attempt, h.due = 1, now
	switch fault {
	case hookLost:
		q.attempts = append(q.attempts, h.record(0, now))
		return
	case hookDoubled:
		q.push(h)
	case hookLate:
		h.due = now.Add(late)
	case hookReordered:
		h.due = now.Add(late)
		q.release(key, now) // only one is held at a time
		q.held[key] = q.push(h)
		return
	case hookIntact:
	}
	q.push(h)
	q.release(key, h.due.Add(hookOvertakes))
}

// push queues h. q.mu is held.
func (q *hookQueue) push(h hook) *hook {
	h.order = q.queued
	q.queued++
	p := &h
	heap.Push(&q.waiting, p)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return p
}

// release lets a webhook that is held back go at due. q.mu is held.
func (q *hookQueue) release(key string, due time.Time) {
	h, ok := q.held[key]
	if !ok {
		return
	}
	delete(q.held, key)
	if h.index < 0 || h.due.Before(due) {
		return
	}
	h.due, h.order = due, q.queued
	q.queued++
	heap.Fix(&q.waiting, h.index)
}

// run delivers until ctx ends, then waits for what is under way, which ends
// with ctx: a failed attempt, whose retry the next run makes.
func (q *hookQueue) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer func() {
		wg.Wait()
		if q.own != nil {
			q.own.CloseIdleConnections()
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case q.slots <- struct{}{}:
		}
		h, wait := q.take(time.Now())
		if h != nil {
			wg.Go(func() {
				defer func() { <-q.slots }()
				q.deliver(ctx, h)
			})
			continue
		}
		<-q.slots
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		case <-timer.C:
		}
	}
}

// idle is how long run waits when nothing is queued; push wakes it.
const idle = time.Hour

// take removes the next webhook that is due, or says how long to wait.
func (q *hookQueue) take(now time.Time) (*hook, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return nil, idle
	}
	if wait := q.waiting[0].due.Sub(now); wait > 0 {
		return nil, wait
	}
	h, ok := heap.Pop(&q.waiting).(*hook)
	if !ok {
		return nil, idle
	}
	q.underWay++
	return h, 0
}

// deliver makes one attempt, writes it down and queues the next if it failed.
func (q *hookQueue) deliver(ctx context.Context, h *hook) {
	begun := time.Now()
	status, err := q.post(ctx, h)
	ended := time.Now()
	record := h.record(h.attempt, begun)
	record.Took, record.Status = Duration(ended.Sub(begun)), status
	if err != nil {
		record.Err = err.Error()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.underWay--
	q.attempts = append(q.attempts, record)
	if status == http.StatusOK || h.attempt == hookAttempts {
		return
	}
	again := *h
	again.attempt++
	// Past already, where the attempt took longer than the pause: then at once.
	again.due = begun.Add(q.clock.compressed(retryPause(again.attempt)))
	q.push(again)
}

// retryPause is the simulated time between the attempt before and this one.
func retryPause(attempt int) time.Duration {
	switch attempt {
	case 3:
		return hookSecondRetry
	case 4:
		return hookThirdRetry
	default:
		return 0
	}
}

// hookBody is guide 5's.
type hookBody struct {
	CaseID      string `json:"caseId"`
	ReferenceID string `json:"referenceId,omitempty"`
}

// post makes the request. Its error does not name the URL.
func (q *hookQueue) post(ctx context.Context, h *hook) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, hookAnswerTime)
	defer cancel()
	body, err := json.Marshal(hookBody{CaseID: h.caseID, ReferenceID: h.referenceID})
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return 0, withoutURL(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if h.username != "" || h.password != "" {
		req.SetBasicAuth(h.username, h.password)
	}
	resp, err := q.client.Do(req)
	if err != nil {
		return 0, withoutURL(err)
	}
	// What is left of the body only matters to the connection.
	_, _ = io.CopyN(io.Discard, resp.Body, 4096)
	_ = resp.Body.Close()
	return resp.StatusCode, nil
}

// withoutURL takes the URL, which may hold secrets, out of a client's error.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

func (h *hook) record(attempt int, at time.Time) HookAttempt {
	return HookAttempt{
		Change: h.change, ClientID: h.clientID, CaseID: h.caseID, Target: h.target,
		Attempt: attempt, At: at,
	}
}

func (q *hookQueue) log() []HookAttempt {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.attempts)
}

func (q *hookQueue) pending() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) + q.underWay
}

// hookHeap orders by due time.
type hookHeap []*hook

// Len is heap.Interface's.
func (h *hookHeap) Len() int { return len(*h) }

// Less is heap.Interface's.
func (h *hookHeap) Less(i, j int) bool {
	a, b := (*h)[i], (*h)[j]
	if a.due.Equal(b.due) {
		return a.order < b.order
	}
	return a.due.Before(b.due)
}

// Swap is heap.Interface's.
func (h *hookHeap) Swap(i, j int) {
	(*h)[i], (*h)[j] = (*h)[j], (*h)[i]
	(*h)[i].index, (*h)[j].index = i, j
}

// Push is heap.Interface's.
func (h *hookHeap) Push(x any) {
	p, ok := x.(*hook)
	if !ok {
		return
	}
	p.index = len(*h)
	*h = append(*h, p)
}

// Pop is heap.Interface's.
func (h *hookHeap) Pop() any {
	last := (*h)[len(*h)-1]
	last.index = -1
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	return last
}
