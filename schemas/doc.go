// Package schemas owns every byte on a topic and the compatibility rule.
//
// # Framing
//
// Internal topics hold Avro single-object encoding (0xC3 0x01, the writer
// schema's CRC-64-AVRO fingerprint in little-endian order, the datum). The
// status and the result topic hold the Confluent wire format (0x00, the schema
// id in big-endian order, the datum) when a registry is set, else single-object
// encoding too.
//
// No value is longer than MaxBytes, one of the result topic not than
// MaxResultBytes.
//
// # Compatibility
//
// testdata/history holds every schema that a release wrote, with golden bytes.
// The .avsc files of it are part of the binary: the decoders resolve from them
// to today's schemas by fingerprint. The tests prove that
//
//   - status_changed and identification_result are FULL_TRANSITIVE: the bridge
//     is upgraded before its readers, and they before it;
//   - the internal records can be read by the release before, so that a
//     rollback finds its topics readable. That one knows schemas by their
//     fingerprints, its own and earlier ones: so a value that holds nothing new
//     is written with its schema (previousSchema);
//   - today's reader reads the golden bytes of every release;
//   - today's schemas are in the history.
//
// A change of a schema therefore needs an entry for the coming release:
//
//	go test ./schemas -history 0.3.0
//
// writes testdata/history/0.3.0 from today's schemas and the sample values of
// sample_test.go; the fingerprints are then pinned in history_test.go. For an
// internal record, previousRelease and its heldBefore follow. The
// newest entry may be written again until its release is out, older ones are
// refused: what a release wrote stands on topics.
package schemas
