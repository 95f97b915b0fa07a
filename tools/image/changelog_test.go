package main

import (
	"slices"
	"strings"
	"testing"
)

func TestChangesOf(t *testing.T) {
	t.Parallel()
	const changelog = `# Changelog

## [Unreleased]

### Added

- something

## [1.3.0]

### Added

- undated

## [1.2.3] - 2026-11-29

For all.

### Added

- something else, which
  goes on
- more

### Security

- all

## [1.2.2] - 2026-11-28

### Added

## [1.2.1] - yesterday

### Added

- something

## [1.2.0] - 2026-11-27

### News

- something

## [1.1.0] - 2026-11-26

- something
`
	for _, test := range []struct {
		version, want string // want is part of the error, "" for none
	}{
		{"1.2.3", ""},
		{"1.2.4", "no section"},
		{"1.2", "no section"},
		{"1.2.2", "says nothing"},
		{"1.2.1", "with its date"},
		{"1.3.0", "with its date"},
		{"1.2.0", `1.2.0: heading "News" is none of Added`},
		{"1.1.0", `"- something" stands under no heading`},
	} {
		changes, err := changesOf(changelog, test.version)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.version, err, test.want)
		}
		want := []change{{"added", "something else, which goes on"}, {"added", "more"}, {"security", "all"}}
		if err == nil && !slices.Equal(changes, want) {
			t.Errorf("%s: changes are %q, not %q", test.version, changes, want)
		}
	}
}
