package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/ingest"
	"postident-bridge/internal/audit"
)

const (
	// shownRows is how many rows a list for people has unless they ask for more.
	shownRows = 50
	// defaultRate is how many triggers a second an operator's verb writes at most.
	defaultRate = 100
	// maxCell bounds a cell of a table, and maxWord one of a reason: whoever may
	// write to a topic can put any text where a word is expected.
	maxCell = 40
	maxWord = 20
)

// desk is where an operator's verb works: on the topics alone, beside bridges
// that run.
type desk struct {
	main    *Main
	names   topicNames
	kafka   []kgo.Opt
	now     time.Time // of the verb, for all that it prints
	current *progress // of the topic that is being read
	some    bool      // the verb was asked for some of what there is, not for all
}

// none is what a list prints that is empty: that nothing matches is no word for
// there being nothing, as a mistyped account would have it.
func (d *desk) none(ofAll, ofSome string) error {
	text := ofAll
	if d.some {
		text = ofSome
	}
	if _, err := fmt.Fprintln(d.main.Stdout, text); err != nil {
		return fmt.Errorf("print list: %w", err)
	}
	return nil
}

// openDesk reads the settings that lead to the topics. It connects to nothing.
func (m *Main) openDesk(ctx context.Context) (*desk, error) {
	s, warnings, err := loadSettings(m.Environ, needKafka)
	m.warn(warnings)
	if err != nil {
		return nil, err
	}
	opts, err := kafkaOptions(ctx, &s, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return &desk{main: m, names: namesOfTopics(s.Topics.Prefix), kafka: opts, now: time.Now()}, nil
}

// reading begins the progress of a topic; quiet ends it.
func (d *desk) reading(topic string) func(read, total int64) {
	d.quiet()
	d.current = newProgress(d.main.Stderr, d.main.Environ, "reading "+topic, "records")
	return d.current.set
}

func (d *desk) quiet() {
	if d.current != nil {
		d.current.end()
		d.current = nil
	}
}

func (d *desk) scan(topic string) audit.Scan {
	return audit.Scan{Kafka: d.kafka, Topic: topic, Progress: d.reading(topic)}
}

// warnOfHidden says what could not be read: a list that lacks something must not
// look as if it were whole.
func (d *desk) warnOfHidden(hidden []audit.Hidden) {
	for _, h := range hidden {
		d.main.complain("warning: " + h.String())
	}
}

// put writes triggers to the inbox at a bounded rate, and says how far it got.
func (d *desk) put(ctx context.Context, hints []ingest.Hint, rate int) (written int, err error) {
	client, err := kgo.NewClient(append(slices.Clone(d.kafka), ingest.ProducerOpts()...)...)
	if err != nil {
		return 0, fmt.Errorf("make producer: %w", err)
	}
	defer client.Close()
	inbox, err := ingest.NewInbox(client, d.names.Inbox)
	if err != nil {
		return 0, err
	}
	p := newProgress(d.main.Stderr, d.main.Environ, "writing "+d.names.Inbox, "triggers")
	defer p.end()
	written, err = inbox.PutPaced(ctx, hints, rate, func(n int) { p.set(int64(n), int64(len(hints))) })
	if err != nil {
		return written, fmt.Errorf("%w: %s of %s triggers are written, maybe some more", err, grouped(written), grouped(len(hints)))
	}
	return written, nil
}

// rateFlag adds --rate.
func rateFlag(cmd *cobra.Command, rate *int) {
	cmd.Flags().IntVar(rate, "rate", defaultRate, "the most triggers a second")
}

func checkRate(rate int) error {
	if rate < 1 {
		return &usageError{"--rate must be at least 1"}
	}
	return nil
}

// limitFlag adds --limit. 0 means all; unset it is shownRows for people and all
// for programs.
func limitFlag(cmd *cobra.Command, limit *int, what string) {
	cmd.Flags().IntVar(limit, "limit", 0, fmt.Sprintf("show no more than so many %s, 0 for all (default %d, with --json all)", what, shownRows))
}

// limited cuts rows to what --limit allows, and says how many are left out.
func limited[T any](cmd *cobra.Command, rows []T, limit int, asJSON bool) (shown []T, more int) {
	if !cmd.Flags().Changed("limit") && !asJSON {
		limit = shownRows
	}
	if limit == 0 || limit >= len(rows) {
		return rows, 0
	}
	return rows[:limit], len(rows) - limit
}

func checkLimit(limit int) error {
	if limit < 0 {
		return &usageError{"--limit must not be negative"}
	}
	return nil
}

// table prints rows in columns; the first row are the headings.
func table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i := range row {
			row[i] = cell(row[i])
		}
		_, _ = fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("print table: %w", err)
	}
	return nil
}

// cell is a text of a topic as a table shows it.
func cell(text string) string {
	if text == "" {
		return "-"
	}
	return cut(text, maxCell)
}

// word is a reason of a topic as people are shown it.
func word(reason string) string { return cut(reason, maxWord) }

func cut(text string, most int) string {
	text = printable(text)
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// printable is a text of a topic without what would move a terminal's cursor.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '�'
		}
		return r
	}, text)
}

// age is how long ago a time is, as people say it.
func (d *desk) age(t time.Time) string { return span(d.now.Sub(t)) }

// ahead is when a time will be.
func (d *desk) ahead(t time.Time) string {
	if !t.After(d.now) {
		return "due"
	}
	return "in " + span(t.Sub(d.now))
}

// span is a duration in a table: of minutes nobody asks for the seconds.
func span(d time.Duration) string {
	d = max(d, 0)
	if d >= time.Minute && d < time.Hour {
		return strconv.Itoa(int(d/time.Minute)) + "m"
	}
	return roughly(d)
}

var errNoTime = errors.New("no time: want 2026-11-29T08:00:00Z, 2026-11-29, or how long ago: 36h, 7d")

// parseWhen reads a time that an operator names: a time, a day (UTC), or how long
// ago.
func parseWhen(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.Add(-time.Duration(n) * 24 * time.Hour), nil
		}
	}
	if d, err := parsePositive(text); err == nil {
		return now.Add(-d), nil
	}
	return time.Time{}, errNoTime
}

// plural is a number and its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(n) + " " + noun + "s"
}

// orEmpty makes null an empty list in JSON.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
