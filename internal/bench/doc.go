// Package bench measures the bridge against the bare limit of the machine it
// runs on: what the same broker, the same cores and the same libraries do
// without the bridge's logic, in the same run. docs/benchmarks.md says what each
// figure means.
//
// A figure has a file of its own and is listed in figures.go. It measures with
// what Env lends it and returns rows; a row's verdict is a pure function of its
// numbers and its bar.
package bench
