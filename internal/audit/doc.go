// Package audit reads the record back and judges it: whether what stands on the
// topics is the truth, once, in order and unbroken. It is the one checker of the
// demo, of the tests and of operators. It also finds what waits and what is stuck,
// and says what a redrive is to do about it; it writes nothing itself.
package audit
