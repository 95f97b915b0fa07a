// Package lab breaks the bridge on purpose and judges what it published: bridge
// processes, Apache Kafka, a schema registry, an S3 server and the simulated API run
// as they do in production, a seeded nemesis draws faults and lets them befall one or
// two at a time, a load of all methods goes on meanwhile, and in the end the
// checker compares the topics with the truth.
//
// The plan of the faults is a pure function of the seed (plan.go). What they do
// is not: processes race, and a seed that failed may pass when it runs again.
// So a failed run keeps its topics and logs.
//
// What is proven: each state for which a webhook was answered 200 has its event,
// or a later state of the same identification has (P1, P2); events are in order,
// none is doubled, sequences have no gaps, hash chains are whole (P3, P9); each final
// state of an account that wants them has its result and its records, the former in
// one transaction with its event, the latter in the store before it (P6); nothing
// personal stands in topics, logs and metrics but in the results (P5), and what the
// class must not have stands nowhere.
package lab
