// Package ingest turns an accepted hint into a durable trigger in the inbox
// topic. A trigger only says "look again at this case": doubled, reordered and
// late ones are harmless, so nothing here needs a transaction.
package ingest
