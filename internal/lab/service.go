package lab

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
)

// Service is a Service of Kubernetes as kube-proxy serves it: it knows connections
// and no requests. A new connection goes to the next endpoint in turn and stays with
// it, whatever becomes of the endpoint; one that the endpoint refuses is reset.
// Nothing is tried again.
type Service struct {
	proxy *proxy

	mu        sync.Mutex
	endpoints []string // guarded by mu: host:port
	turn      int      // guarded by mu
	refused   int      // guarded by mu
	unserved  int      // guarded by mu
}

// NewService listens on a loopback address, without endpoints yet. The caller
// closes it.
func NewService(ctx context.Context) (*Service, error) {
	s := &Service{}
	var err error
	s.proxy, err = newProxyBy(ctx, s.dial)
	return s, err
}

// Addr is where it listens, host:port.
func (s *Service) Addr() string { return s.proxy.addr() }

// Close resets all connections and stops listening.
func (s *Service) Close() error { return s.proxy.close() }

// Add brings an endpoint in, host:port.
func (s *Service) Add(endpoint string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.endpoints, endpoint) {
		s.endpoints = append(s.endpoints, endpoint)
	}
}

// Remove takes an endpoint out. Connections that it has stay.
func (s *Service) Remove(endpoint string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endpoints = slices.DeleteFunc(s.endpoints, func(e string) bool { return e == endpoint })
}

// Refused is how many connections their endpoint did not take, unserved how many
// came while there was no endpoint.
func (s *Service) Refused() (refused, unserved int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused, s.unserved
}

func (s *Service) dial(ctx context.Context) (net.Conn, error) {
	endpoint := s.next()
	if endpoint == "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.unserved++
		return nil, errors.New("dial endpoint: there is none")
	}
	conn, err := dialSoon(ctx, endpoint)
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.refused++
	}
	return conn, err
}

// next is the endpoint whose turn it is, "" without any.
func (s *Service) next() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.endpoints) == 0 {
		return ""
	}
	s.turn++
	return s.endpoints[s.turn%len(s.endpoints)]
}
