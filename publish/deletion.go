package publish

import "time"

const (
	// sourceLimit is for how long the source keeps a case, if it keeps it no longer
	// than its FAQ says; the guide says 150 days at most (7.6; facts C24).
	sourceLimit = 90 * 24 * time.Hour
	// ageInterval is how often a partition is searched for its oldest case that
	// waits. A day more or less does not matter in ninety.
	ageInterval = time.Hour
)

// oldestWaiting gives, by account, when the oldest case was created of which a
// change may not be published: it waits for a retry, or its trigger is in the dead
// letters. Of one that was never read, it is when it first failed.
func (t *table) oldestWaiting() map[string]time.Time {
	oldest := make(map[string]time.Time)
	t.states.each(func(block []byte) bool {
		client, caseID, condensed := cutKey(block)
		if h, _ := expandHead(condensed); h.marks&(markRetry|markDeadLettered) == 0 {
			return true
		}
		clientID := t.names[client]
		s := expand(clientID, string(caseID), condensed)
		since := s.UpdatedAt
		switch {
		case s.Created != nil:
			since = *s.Created
		case s.Retry != nil:
			since = s.Retry.FirstFailed
		}
		if known, ok := oldest[clientID]; !ok || since.Before(known) {
			oldest[clientID] = since
		}
		return true
	})
	return oldest
}

// noteOldest tells the metrics of the oldest case that waits.
func (w *worker) noteOldest() {
	now := w.p.cfg.Now()
	if now.Sub(w.aged) < ageInterval {
		return
	}
	w.aged = now
	oldest := w.table.oldestWaiting()
	w.owner.mu.Lock()
	defer w.owner.mu.Unlock()
	w.owner.oldest = oldest
}

// deletionDistance is how long it is, by account, until the source may delete the
// oldest case that waits in this process's partitions: then its change is lost.
func (p *Publisher) deletionDistance() map[string]time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.cfg.Now()
	distance := make(map[string]time.Duration)
	for _, o := range p.owners {
		o.mu.Lock()
		for clientID, since := range o.oldest {
			d := since.Add(sourceLimit).Sub(now)
			if known, ok := distance[clientID]; !ok || d < known {
				distance[clientID] = d
			}
		}
		o.mu.Unlock()
	}
	return distance
}
