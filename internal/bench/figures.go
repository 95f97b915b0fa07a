package bench

// Figures are all figures, in the order of the table. Those on three brokers
// come last: a cluster of another size has to be started for them.
func Figures() []Figure {
	return []Figure{
		webhookFigure(),
		publisherFigure(),
		observationFigure(),
		backfillFigure(),
		observingFigure(),
		backlogFigure(),
		latencyFigure(),
		idleFigure(),
		recordsFigure(),
		restoreFigure(),
		restoreLargeFigure(),
		latency3Figure(),
	}
}
