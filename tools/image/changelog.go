package main

import (
	"fmt"
	"strings"
	"time"
)

// change is a line of the changelog: what somebody should know of a release.
type change struct {
	// kind is the heading above it, in small letters: added, changed, deprecated,
	// removed, fixed or security.
	kind string
	text string
}

// changesOf are those of a version. It refuses a changelog without a section "##
// [version] - date" that says something, each under a heading of Keep a Changelog.
func changesOf(changelog, version string) ([]change, error) {
	for section := range strings.SplitSeq("\n"+changelog, "\n## ") {
		heading, text, _ := strings.Cut(section, "\n")
		date, ok := strings.CutPrefix(heading, "["+version+"]")
		if !ok {
			continue
		}
		if _, err := time.Parse(time.DateOnly, strings.TrimPrefix(date, " - ")); err != nil {
			return nil, fmt.Errorf("CHANGELOG.md: the heading of %s should be \"## [%s] - 2006-01-02\", with its date", version, version)
		}
		changes, err := changesIn(text)
		if err != nil {
			return nil, fmt.Errorf("CHANGELOG.md: the section of %s: %w", version, err)
		}
		if len(changes) == 0 {
			return nil, fmt.Errorf("CHANGELOG.md: the section of %s says nothing", version)
		}
		return changes, nil
	}
	return nil, fmt.Errorf("CHANGELOG.md has no section \"## [%s] - date\"", version)
}

// changesIn reads the list items of a section. One goes on in the lines that are
// indented below it.
func changesIn(section string) ([]change, error) {
	var (
		out  []change
		kind string
	)
	for line := range strings.Lines(section) {
		line = strings.TrimRight(line, "\r\n")
		if heading, ok := strings.CutPrefix(line, "### "); ok {
			switch kind = strings.ToLower(heading); kind {
			case "added", "changed", "deprecated", "removed", "fixed", "security":
			default:
				return nil, fmt.Errorf("heading %q is none of Added, Changed, Deprecated, Removed, Fixed, Security", heading)
			}
		} else if text, ok := strings.CutPrefix(line, "- "); ok {
			if kind == "" {
				return nil, fmt.Errorf("%q stands under no heading such as \"### Added\"", line)
			}
			out = append(out, change{kind, text})
		} else if text, ok := strings.CutPrefix(line, "  "); ok && len(out) > 0 {
			out[len(out)-1].text += " " + strings.TrimSpace(text)
		}
	}
	return out, nil
}
