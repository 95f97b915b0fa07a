package testbed

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// given are the ports that this process was given, by FreePorts.
var given struct {
	mu    sync.Mutex
	ports map[int]bool // guarded by mu
}

// FreePorts finds ports of loopback that nobody listens on, below the range from
// which the kernel serves whoever asks for any port: who starts late, or is stopped
// and started again, finds its port free. No port is given twice in one process. The
// error says that there are none left.
func FreePorts(ctx context.Context, n int) ([]int, error) {
	given.mu.Lock()
	defer given.mu.Unlock()
	if given.ports == nil {
		given.ports = make(map[int]bool)
	}
	var conf net.ListenConfig
	ports := make([]int, 0, n)
	for tries := 0; len(ports) < n; tries++ {
		if tries > 100*n {
			return nil, errors.New("find free ports: none left")
		}
		// Drawn, so that processes which start at the same moment do not all take the same.
		port := 10_000 + rand.IntN(22_000) //nolint:gosec // no secret
		if given.ports[port] {
			continue
		}
		listener, err := conf.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			return nil, fmt.Errorf("find free ports: %w", err)
		}
		given.ports[port] = true
		ports = append(ports, port)
	}
	return ports, nil
}
