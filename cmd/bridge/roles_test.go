package main

import (
	"slices"
	"testing"
)

// People write a blank behind a comma, as the docs' own tables do.
func TestRolesWithBlanks(t *testing.T) {
	t.Parallel()
	roles, err := chooseRoles([]string{"webhook", " poll", "process "})
	if err != nil || !slices.Equal(roles, allRoles) {
		t.Errorf("%q, error %v", roles, err)
	}
	if _, err := chooseRoles([]string{"webhook", " webhook"}); err == nil {
		t.Error("a role is named twice")
	}
}
