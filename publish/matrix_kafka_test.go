package publish

import (
	"fmt"
	"net"
	"testing"

	"postident-bridge/internal/counterpart"
	"postident-bridge/internal/sabotage"
)

// Zombies are what fencing is for, and kfake is kinder than Apache Kafka: it
// lets a stale producer open anew, hands a successor's epoch to an abort, and
// ends transactions at an instant. So the rows whose step writes, or decides on
// what is written, run there too, side by side: each waits for the session
// time-out.
func TestZombiesOnApacheKafka(t *testing.T) {
	t.Parallel()
	kafka := counterpart.SharedKafka(t)
	steps := map[string]bool{"membership": true, "open": true, "barrier": true, "barrier end": true, "restore": true, "read": true, "store record": true, "produce": true, "end": true}
	var table matrixTable
	t.Cleanup(func() { t.Log(table.String()) })
	slots := make(chan struct{}, 24) // cells at once: their publishers share the machine
	for i, row := range matrixRows() {
		// Of a step's later occasions only the end of the transactions that move
		// the position, or bring late records: each cell costs a session time-out.
		if !steps[row.step] || row.name() != row.step && row.name() != "end moving" && row.name() != "end late" {
			continue
		}
		for _, fault := range sabotage.Faults() {
			cell := matrixCell{row, fault, sabotage.Zombie}
			t.Run(fmt.Sprintf("%s/%s", row.name(), fault), func(t *testing.T) {
				t.Parallel()
				slots <- struct{}{}
				defer func() { <-slots }()
				t.Cleanup(func() { table.ended(cell, t.Failed()) })
				prefix := fmt.Sprintf("matrix-%d-%d.", i, int(fault))
				table.took(cell, cell.play(newScene(t, new(net.Dialer).DialContext, kafka.Seeds(), prefix)))
			})
		}
	}
}
