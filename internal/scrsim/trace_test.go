package scrsim

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/scr"
)

// A trace tells by what a change was first shown, and what became of its webhooks.
func TestTraces(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		faults FaultSet
		answer int // of every webhook
		look   string
		want   Trace
		missed bool
	}{
		"delivered and read": {
			answer: 200, look: "case",
			want: Trace{Hooked: true, ShownBy: ShownByCase, Hooks: []HookTrace{{Target: TargetClient, Delivered: time.Unix(2, 0)}}},
		},
		"delivered, and a list was first": {
			answer: 200, look: "list",
			want: Trace{Hooked: true, ShownBy: ShownByList, Hooks: []HookTrace{{Target: TargetClient, Delivered: time.Unix(2, 0)}}},
		},
		"lost, and a list was first": {
			faults: FaultSet{HookLost: 1}, look: "list", missed: true,
			want: Trace{Hooked: true, ShownBy: ShownByList, Hooks: []HookTrace{{Target: TargetClient, Lost: true}}},
		},
		"lost, and read all the same": {
			faults: FaultSet{HookLost: 1}, look: "case",
			want: Trace{Hooked: true, ShownBy: ShownByCase, Hooks: []HookTrace{{Target: TargetClient, Lost: true}}},
		},
		"lost, and never shown": {
			faults: FaultSet{HookLost: 1},
			want:   Trace{Hooked: true, Hooks: []HookTrace{{Target: TargetClient, Lost: true}}},
		},
		"refused": {
			answer: 503, look: "list", missed: true,
			want: Trace{Hooked: true, ShownBy: ShownByList, Hooks: []HookTrace{{Target: TargetClient}}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rx := &receiver{answer: func(received) (int, time.Duration, error) { return tt.answer, 0, nil }}
				sim := newSim(t, Config{Accounts: []Account{hookedAccount(scr.ClassGwG, Webhook{})}, HookTransport: rx})
				run(t, sim)
				if err := sim.SetFaults(Faults{All: tt.faults}); err != nil {
					t.Fatal(err)
				}
				id := create(t, sim, videoStarted, videoSuccess)
				advance(t, sim, id)
				elapse(time.Second)
				happened := time.Now()
				advance(t, sim, id)
				elapse(10 * time.Second)
				client := newAPI(t, sim)
				switch tt.look {
				case "list":
					client.get("/full").wants(http.StatusOK)
				case "case":
					client.get("/" + id + "/full").wants(http.StatusOK)
				}
				var shown time.Time
				if tt.look != "" {
					shown = time.Now()
					elapse(2 * time.Hour)
					client.get("/" + id).wants(http.StatusOK) // only the first counts
				}
				if !sim.Traces()[0].ShownAt.IsZero() || sim.Traces()[0].Hooked {
					t.Errorf("of the change that nobody saw: %+v", sim.Traces()[0])
				}
				got := sim.Traces()[1]
				if !got.ShownAt.Equal(shown) || got.Missed(TargetClient) != tt.missed || got.Missed(TargetPartner) {
					t.Errorf("shown at %v, want %v; missed %t, want %t", got.ShownAt, shown, got.Missed(TargetClient), tt.missed)
				}
				tt.want.Change, tt.want.At, tt.want.ShownAt = 1, happened, shown
				for i, h := range tt.want.Hooks {
					if delivered := got.Hooks[i].Delivered; !h.Delivered.IsZero() && !delivered.IsZero() {
						tt.want.Hooks[i].Delivered = delivered
					}
				}
				if d := cmp.Diff(tt.want, got); d != "" {
					t.Errorf("trace (-want +got):\n%s", d)
				}
				if over := lines[Trace](t, ctl(t, sim, http.MethodGet, "/traces?from=1", "")); len(over) != 1 || over[0].Change != 1 {
					t.Errorf("over the control API: %+v", over)
				}
			})
		})
	}
}
