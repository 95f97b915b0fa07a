package publish

import (
	"testing"
	"time"

	"postident-bridge/internal/counterpart"
)

// Design 2: a paused broker lets neither a produce's context nor Close end in
// time, so stopping is bounded from outside: within the 20 s that a process has.
// A transaction hangs in the middle, and the successor finds out what became of
// it.
func TestStopWhileTheBrokerIsPaused(t *testing.T) {
	t.Parallel()
	for name, instance := range map[string]string{"dynamic member": "", "static member": "one"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kafka := counterpart.StartKafka(t, 1)
			s := newStageOn(t, kafka.Seeds())
			cfg := s.config()
			cfg.InstanceID = instance
			_, stop := s.run(cfg)
			cases := make([]string, 50)
			for i := range cases {
				cases[i] = caseName(i)
			}
			s.move(1, cases...)
			s.events(len(cases))
			for _, id := range cases {
				s.source.show(id, 2)
				s.hookAsync(id)
			}
			s.events(len(cases) + 1) // the rest is under way
			kafka.Pause(t, 1)
			stopped := make(chan error, 1)
			go func() { stopped <- stop() }()
			select {
			case err := <-stopped:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(20 * time.Second):
				t.Error("the publisher does not stop")
			}
			kafka.Resume(t, 1)
			s.run(s.config())
			s.move(2, cases...)
			s.exactly(2, cases...)
		})
	}
}
