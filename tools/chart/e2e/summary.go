package main

import (
	"fmt"
	"io"
)

// summary is what is printed.
type summary struct{ out io.Writer }

// printf writes; nobody could be told of a failure to.
func (s summary) printf(format string, args ...any) { _, _ = fmt.Fprintf(s.out, format, args...) }

func (s summary) accepted(all []acceptance) int {
	failed := 0
	s.printf("%-24s %8s %9s %6s %9s %9s\n", "value set", "objects", "accepted", "pods", "accepted", "warnings")
	for _, a := range all {
		s.printf("%-24s %8d %9d %6d %9d %9d\n", a.set.name, a.objects, a.objectsIn, a.pods, a.podsIn, a.warnedTimes)
		failed += s.complain(a.err)
	}
	return failed
}

func (s summary) refused(all []refusal) int {
	failed := 0
	s.printf("\nrefused, as it should be\n")
	for _, r := range all {
		if r.err == nil {
			s.printf("  %s\n", r.what)
		}
		failed += s.complain(r.err)
	}
	return failed
}

func (s summary) livesHead() {
	s.printf("\n%-12s %-54s %8s %6s %7s\n", "release", "step", "objects", "pods", "s")
}

func (s summary) lived(o outcome) {
	s.printf("%-12s %-54s %8d %6d %7.1f\n", o.scenario, o.says, o.objects, o.pods, o.took.Seconds())
	s.complain(o.err)
}

// complain prints an error and returns how many it is.
func (s summary) complain(err error) int {
	if err == nil {
		return 0
	}
	s.printf("  FAILED: %v\n", err)
	return 1
}
