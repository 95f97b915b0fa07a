package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"
)

const (
	// progressPatience is how long a piece of work may take before it is worth a
	// word.
	progressPatience = 500 * time.Millisecond
	// progressRedraw is how often a terminal is redrawn, progressLine how often a
	// line is written where there is none.
	progressRedraw = 100 * time.Millisecond
	progressLine   = 10 * time.Second
	// progressWindow is the time over which the rate is taken: an hour-long piece
	// of work changes its pace.
	progressWindow = 30 * time.Second
	// progressColumns is the width of a terminal that does not tell it.
	progressColumns = 80
)

// progress tells a person how far a long piece of work is: on a terminal by a bar
// that is redrawn, elsewhere by a line now and then. What is over at once is not
// told. It is for one goroutine.
type progress struct {
	w       io.Writer
	what    string     // e.g. "reading postident.inbox"
	unit    string     // what is counted, e.g. "records"
	columns func() int // the width of the terminal; nil where there is none
	now     func() time.Time
	next    time.Time // nothing is written before
	drawn   bool      // a bar stands on the terminal
	paces   []pace    // of the last progressWindow, oldest first
}

// pace is how much was done when.
type pace struct {
	at   time.Time
	done int64
}

// newProgress begins to tell of a piece of work on w, as a rule Stderr: what goes
// to Stdout is for programs too.
func newProgress(w io.Writer, environ []string, what, unit string) *progress {
	p := &progress{w: w, what: what, unit: unit, now: time.Now}
	if file := terminalOf(w, environ); file != nil {
		p.columns = func() int { return columnsOf(file) }
	}
	p.begin()
	return p
}

func (p *progress) begin() {
	now := p.now()
	p.paces = []pace{{at: now}}
	p.next = now.Add(progressLine)
	if p.columns != nil {
		p.next = now.Add(progressPatience)
	}
}

func columnsOf(file *os.File) int {
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil || width <= 0 {
		return progressColumns
	}
	return width
}

// set says how much is done of how much; a total of 0 is not known.
func (p *progress) set(done, total int64) {
	now := p.now()
	if now.Before(p.next) {
		return
	}
	p.paces = append(p.paces, pace{now, done})
	for len(p.paces) > 2 && now.Sub(p.paces[1].at) >= progressWindow {
		p.paces = p.paces[1:]
	}
	first := p.paces[0]
	s := shownProgress{what: p.what, unit: p.unit, done: done, total: total, rate: float64(done-first.done) / now.Sub(first.at).Seconds()}
	if p.columns == nil {
		p.next = now.Add(progressLine)
		_, _ = fmt.Fprintf(p.w, "bridge: %s\n", s.line())
		return
	}
	p.next = now.Add(progressRedraw)
	p.drawn = true
	_, _ = fmt.Fprintf(p.w, "\r%s\x1b[K", s.bar(p.columns()-1)) // in the last column a terminal would wrap
}

// end takes the bar away, so that what is printed next stands alone.
func (p *progress) end() {
	if p.drawn {
		p.drawn = false
		_, _ = fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// shownProgress is one picture of a progress.
type shownProgress struct {
	what, unit  string
	done, total int64 // total 0: not known
	rate        float64
}

// line is the picture in words.
func (s shownProgress) line() string {
	amount := s.amount()
	if s.total > 0 {
		amount = fmt.Sprintf("%d%%, %s %s", s.percent(), amount, s.unit)
	}
	return s.what + ": " + strings.Join(append([]string{amount}, s.pace()...), ", ")
}

// bar is the picture in width columns: what does not fit is left out, the bar
// itself first.
func (s shownProgress) bar(width int) string {
	tail := strings.Join(append([]string{s.amount()}, s.pace()...), "  ")
	if s.total > 0 {
		tail = fmt.Sprintf("%3d%%  %s", s.percent(), tail)
	}
	room := width - len(s.what) - len(tail) - 4
	if s.total > 0 && room >= 12 {
		room = min(room, 40) - 2
		full := int(int64(room) * min(s.done, s.total) / s.total)
		return fmt.Sprintf("%s  [%s%s]  %s", s.what, strings.Repeat("#", full), strings.Repeat(".", room-full), tail)
	}
	text := s.what + "  " + tail
	if len(text) > width {
		text = strings.TrimSpace(tail)
	}
	return text[:min(len(text), max(width, 0))]
}

func (s shownProgress) amount() string {
	if s.total > 0 {
		return fmt.Sprintf("%s of %s", grouped(s.done), grouped(s.total))
	}
	return grouped(s.done) + " " + s.unit
}

func (s shownProgress) percent() int64 { return 100 * min(s.done, s.total) / s.total }

// pace is the rate and the time that is left, as far as they are known.
func (s shownProgress) pace() []string {
	if s.rate <= 0 {
		return nil
	}
	shown := []string{grouped(int64(s.rate+0.5)) + "/s"}
	if s.rate < 10 {
		shown[0] = strconv.FormatFloat(s.rate, 'f', 1, 64) + "/s"
	}
	if s.total > s.done {
		left := time.Duration(float64(s.total-s.done) / s.rate * float64(time.Second))
		shown = append(shown, roughly(left)+" left")
	}
	return shown
}

// grouped is a number with a comma before every three digits.
func grouped[T int | int64](n T) string {
	digits := strconv.FormatInt(int64(n), 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// roughly is a duration as a person says it: its two largest units at most.
func roughly(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	}
}
