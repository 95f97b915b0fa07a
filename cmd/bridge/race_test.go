//go:build race

package main

// underRace says that the race detector is on, which makes a long computation ten
// times as long.
const underRace = true
