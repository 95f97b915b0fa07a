package lab

import (
	"context"
	"time"
)

// network is the weather between bridges and brokers: of one bridge, or of all.
type network struct {
	proxies []*proxy
	weather weather
}

// network makes the faults of connections. Their variants are of one bridge, or
// of all of them.
func (w *world) network(f Fault) effect {
	n := &network{proxies: w.proxies[f.Target]}
	everyone := false
	switch f.Kind {
	case KindCut:
		n.weather.refused = true
		everyone = f.Variant == 1
	case KindSlow:
		delays := [...]time.Duration{20 * ms, 60 * ms, 150 * ms, 400 * ms}
		n.weather.delay = delays[f.Variant]
		everyone = f.Variant%2 == 0
	case KindSilence:
		n.weather.holdRequests = f.Variant%3 != 1
		n.weather.holdAnswers = f.Variant%3 != 0
		everyone = f.Variant == 5
	default:
	}
	if everyone {
		n.proxies = nil
		for _, proxies := range w.proxies {
			n.proxies = append(n.proxies, proxies...)
		}
	}
	return n
}

// Begin lets it come down.
func (n *network) Begin(context.Context) error {
	for _, p := range n.proxies {
		p.set(n.weather)
	}
	return nil
}

// Heal clears it up.
func (n *network) Heal(context.Context) error {
	for _, p := range n.proxies {
		p.set(weather{})
	}
	return nil
}
