// Package publish turns triggers into status events, each change exactly once.
package publish
