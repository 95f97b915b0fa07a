package lab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"postident-bridge/publish"
)

// Kind is a kind of fault.
type Kind string

// The kinds of faults.
const (
	KindKill         Kind = "kill"          // kill -9 of a bridge
	KindStop         Kind = "stop"          // SIGSTOP, later SIGCONT: a zombie wakes up
	KindRestart      Kind = "restart"       // graceful restart of a bridge
	KindScale        Kind = "scale"         // a bridge leaves for good order and comes back later
	KindBrokerKill   Kind = "broker-kill"   // kill -9 and restart of a broker
	KindBrokerPause  Kind = "broker-pause"  // SIGSTOP of a broker
	KindLeaders      Kind = "leaders"       // leaders of all partitions move
	KindCut          Kind = "cut"           // connections to the brokers break, new ones are refused
	KindSlow         Kind = "slow"          // connections to the brokers are slow
	KindSilence      Kind = "silence"       // bytes to or from the brokers are held, and delivered late
	KindAPIErrors    Kind = "api-errors"    // 5xx, time-outs, broken answers
	KindAPIHidden    Kind = "api-hidden"    // 404 and stale answers after a webhook
	KindUnauthorised Kind = "api-401"       // credentials are refused for a moment
	KindHooks        Kind = "hooks"         // webhooks lost, doubled, late, reordered
	KindRegistry     Kind = "registry-away" // no registry, and a bridge starts meanwhile
	KindClock        Kind = "api-clock"     // the API's clock is skewed
	KindStoreKill    Kind = "store-kill"    // kill -9 of the records' store
	KindStorePause   Kind = "store-pause"   // SIGSTOP of the records' store
	KindAPIRecords   Kind = "api-records"   // slow answers with records, PDFs that come late, bad base64
)

// group says what a fault takes hold of: of most groups one fault at a time.
type group int

const (
	groupProcess group = iota
	groupBroker
	groupNetwork
	groupAPI
	groupClock
	groupStore
)

// span is a range of durations; the long one is for some of a kind's cards.
type span struct {
	from, to         time.Duration
	longFrom, longTo time.Duration
	longCards        int
}

// kindSpec is how a kind is drawn.
type kindSpec struct {
	kind     Kind
	weight   int // cards in the deck
	group    group
	lasts    span
	variants int // ways to do it
	brokers  int // needs at least as many
}

// kindSpecs is the deck. A pause beyond the bridge's session or transaction
// time-out wakes up a zombie. Every kind with one card comes up about three times in
// a hundred faults.
var kindSpecs = []kindSpec{
	{KindKill, 4, groupProcess, span{200 * ms, 4 * sec, 10 * sec, 14 * sec, 1}, 1, 1},
	{KindStop, 4, groupProcess, span{1 * sec, 8 * sec, publish.SessionTimeout + sec, 40 * sec, 2}, 1, 1},
	{KindRestart, 2, groupProcess, span{from: 100 * ms, to: 1 * sec}, 1, 1},
	{KindScale, 2, groupProcess, span{from: 2 * sec, to: 12 * sec}, 1, 1},
	{KindBrokerKill, 2, groupBroker, span{from: 500 * ms, to: 6 * sec}, 1, 1},
	{KindBrokerPause, 2, groupBroker, span{1 * sec, 8 * sec, publish.TransactionTimeout + sec, 22 * sec, 1}, 1, 1},
	{KindLeaders, 2, groupBroker, span{from: 500 * ms, to: 2 * sec}, 1, 3},
	{KindCut, 2, groupNetwork, span{from: 100 * ms, to: 6 * sec}, 2, 1},
	{KindSlow, 1, groupNetwork, span{from: 4 * sec, to: 10 * sec}, 4, 1},
	{KindSilence, 2, groupNetwork, span{1 * sec, 8 * sec, publish.SessionTimeout + sec, 30 * sec, 1}, 6, 1},
	{KindAPIErrors, 1, groupAPI, span{from: 3 * sec, to: 12 * sec}, 1, 1},
	{KindAPIHidden, 1, groupAPI, span{from: 3 * sec, to: 12 * sec}, 1, 1},
	{KindUnauthorised, 1, groupAPI, span{from: 500 * ms, to: 2 * sec}, 1, 1},
	{KindHooks, 1, groupAPI, span{from: 3 * sec, to: 10 * sec}, 1, 1},
	{KindRegistry, 1, groupProcess, span{from: 2 * sec, to: 8 * sec}, 2, 1},
	{KindClock, 1, groupClock, span{from: 2 * sec, to: 8 * sec}, 2, 1},
	{KindStoreKill, 2, groupStore, span{1 * sec, 5 * sec, 12 * sec, 20 * sec, 1}, 1, 1},
	{KindStorePause, 1, groupStore, span{from: 2 * sec, to: 10 * sec}, 1, 1},
	{KindAPIRecords, 1, groupAPI, span{from: 3 * sec, to: 12 * sec}, 1, 1},
}

const (
	ms  = time.Millisecond
	sec = time.Second
)

// Kinds returns every kind.
func Kinds() []Kind {
	kinds := make([]Kind, len(kindSpecs))
	for i, s := range kindSpecs {
		kinds[i] = s.kind
	}
	return kinds
}

// Fault is one fault of a plan.
type Fault struct {
	Number  int           `json:"number"` // from 1
	Kind    Kind          `json:"kind"`
	Target  int           `json:"target"`  // process, broker or account, counted from 0
	Variant int           `json:"variant"` // which way, from 0
	After   time.Duration `json:"after"`   // from the beginning of its round
	Lasts   time.Duration `json:"lasts"`
}

// Round is faults that overlap, and the calm after them.
type Round struct {
	Faults []Fault       `json:"faults"`
	Calm   time.Duration `json:"calm"`
}

// PlanOptions say what to draw.
type PlanOptions struct {
	Seed      uint64
	Faults    int
	Brokers   int
	Processes int
	Accounts  int
	// Kinds restricts the draw; nil means every kind that the brokers allow.
	Kinds []Kind
}

// overlapShare is how many rounds hold two faults.
const overlapShare = 0.3

// NewPlan draws a plan: the same options give the same one. Kinds are dealt from
// a shuffled deck, so that each comes up in proportion to its weight also in a
// short plan.
func NewPlan(o PlanOptions) ([]Round, error) {
	specs, err := o.specs()
	if err != nil {
		return nil, err
	}
	//nolint:gosec // reproducible, and secures nothing
	d := &dealer{rng: rand.New(rand.NewPCG(o.Seed, 0x6e656d65736973)), specs: specs, options: o}
	var rounds []Round
	for d.number < o.Faults {
		round := Round{Faults: []Fault{d.draw(d.deal(nil))}}
		if d.number < o.Faults && d.rng.Float64() < overlapShare {
			first := round.Faults[0]
			if second, ok := d.beside(first); ok {
				round.Faults = append(round.Faults, d.drawBeside(second, first))
			}
		}
		round.Calm = d.between(500*ms, 3*sec)
		rounds = append(rounds, round)
	}
	return rounds, nil
}

func (o PlanOptions) specs() ([]kindSpec, error) {
	if o.Faults < 0 || o.Processes < 1 || o.Accounts < 1 || o.Brokers != 1 && o.Brokers != 3 {
		return nil, errors.New("plan: want faults, at least one process and account, and 1 or 3 brokers")
	}
	for _, k := range o.Kinds {
		if !slices.Contains(Kinds(), k) {
			return nil, fmt.Errorf("plan: kind %q is none of %s", k, joinKinds(Kinds()))
		}
	}
	var specs []kindSpec
	for _, s := range kindSpecs {
		if s.brokers <= o.Brokers && (len(o.Kinds) == 0 || slices.Contains(o.Kinds, s.kind)) {
			specs = append(specs, s)
		}
	}
	if len(specs) == 0 {
		return nil, fmt.Errorf("plan: %s need more brokers", joinKinds(o.Kinds))
	}
	return specs, nil
}

func joinKinds(kinds []Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

// dealer deals kinds and draws what belongs to them.
type dealer struct {
	rng     *rand.Rand
	specs   []kindSpec
	options PlanOptions
	deck    []card
	number  int
}

// card is one fault to come: a kind, short or long.
type card struct {
	kindSpec

	long bool
}

// deal takes the first card that fits from the deck, and shuffles a new deck
// when none is left. Nil fits all.
func (d *dealer) deal(fits func(kindSpec) bool) card {
	for {
		for i, card := range d.deck {
			if fits == nil || fits(card.kindSpec) {
				d.deck = slices.Delete(d.deck, i, i+1)
				return card
			}
		}
		var fresh []card
		for _, s := range d.specs {
			for i := range s.weight {
				fresh = append(fresh, card{s, i < s.lasts.longCards})
			}
		}
		d.rng.Shuffle(len(fresh), func(i, j int) { fresh[i], fresh[j] = fresh[j], fresh[i] })
		d.deck = append(d.deck, fresh...) // behind what is left
	}
}

// beside deals a kind that may overlap with a fault. Processes may fail two at a
// time; of everything else one fault at a time is enough, and two brokers away
// at once would only stop the clock.
func (d *dealer) beside(first Fault) (card, bool) {
	other := func(s kindSpec) bool {
		g := specOf(first.Kind).group
		return s.group != g || g == groupProcess && d.options.Processes > 1 && first.Kind != KindRegistry && s.kind != KindRegistry
	}
	if !slices.ContainsFunc(d.specs, other) {
		return card{}, false
	}
	return d.deal(other), true
}

func specOf(k Kind) kindSpec {
	return kindSpecs[slices.IndexFunc(kindSpecs, func(s kindSpec) bool { return s.kind == k })]
}

func (d *dealer) draw(s card) Fault {
	d.number++
	f := Fault{Number: d.number, Kind: s.kind, Variant: d.rng.IntN(s.variants)}
	switch s.group {
	case groupProcess, groupNetwork:
		f.Target = d.rng.IntN(d.options.Processes)
	case groupBroker:
		f.Target = d.rng.IntN(d.options.Brokers)
	case groupAPI:
		f.Target = d.rng.IntN(d.options.Accounts)
	case groupClock, groupStore:
	}
	if s.long {
		f.Lasts = d.between(s.lasts.longFrom, s.lasts.longTo)
	} else {
		f.Lasts = d.between(s.lasts.from, s.lasts.to)
	}
	return f
}

// drawBeside draws a fault that begins while another is going on, and takes
// another process than that.
func (d *dealer) drawBeside(s card, first Fault) Fault {
	f := d.draw(s)
	if s.group == groupProcess && specOf(first.Kind).group == groupProcess && f.Target == first.Target {
		f.Target = (f.Target + 1) % d.options.Processes
	}
	f.After = d.between(0, min(first.Lasts, 3*sec))
	return f
}

func (d *dealer) between(from, to time.Duration) time.Duration {
	return (from + time.Duration(d.rng.Int64N(int64(to-from)+1))).Round(ms)
}
