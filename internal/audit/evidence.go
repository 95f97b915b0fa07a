package audit

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The files of an evidence directory.
const (
	fileAbout    = "evidence.json"  // prefix, options, schemas of the registry
	fileTruth    = "truth.jsonl"    // a Change a line
	fileWebhooks = "webhooks.jsonl" // a Webhook a line
	fileCanaries = "canaries.json"
	fileSecrets  = "secrets.json"
	fileMarks    = "marks.json"      // forbidden canaries, marks of records' content
	fileRecords  = "records.jsonl"   // a RecordTruth a line; only if it is known
	fileStore    = "inventory.jsonl" // a StoredObject a line; only if it is known
	dirTopics    = "topics"          // a topic a file, see writeTopic
	dirOutputs   = "outputs"         // logs, scrapes of metrics
	topicSuffix  = ".jsonl.gz"
)

// about is what fileAbout holds.
type about struct {
	Prefix  string         `json:"prefix"`
	Options Options        `json:"options"`
	Schemas map[int]string `json:"schemas,omitempty"`
	// What there is beside the topics and the files that always are.
	Topics    []string `json:"topics,omitempty"`
	Records   bool     `json:"records,omitempty"`
	Inventory bool     `json:"inventory,omitempty"`
}

// marks is what fileMarks holds.
type marks struct {
	Forbidden []string `json:"forbidden"`
	Contents  []string `json:"contents"`
}

// Save writes the evidence into a directory, from which LoadEvidence makes it
// again, for a verdict at any later time. Without a Dump it takes one. The
// outputs are written beside those that stand in the directory's outputs already.
func (e *Evidence) Save(ctx context.Context, dir string) error {
	if e.Dump == nil {
		dump, err := TakeDump(ctx, e.Kafka, e.Prefix)
		if err != nil {
			return err
		}
		e.Dump = &dump
	}
	registered, err := e.registered(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	defer root.Close() //nolint:errcheck // it is only a way into the directory
	for _, sub := range []string{dirTopics, dirOutputs} {
		if err := root.MkdirAll(sub, 0o750); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
	}
	for i := range e.Dump.Topics {
		t := &e.Dump.Topics[i]
		if err := writeTopic(root, filepath.Join(dirTopics, t.Name+topicSuffix), t); err != nil {
			return fmt.Errorf("write topic %s: %w", t.Name, err)
		}
	}
	a := about{Prefix: e.Prefix, Options: e.Options, Schemas: registered, Records: e.Records != nil, Inventory: e.Inventory != nil}
	for _, name := range topicsOf(e.Prefix).maybe() {
		if e.Dump.topic(name) != nil {
			a.Topics = append(a.Topics, name)
		}
	}
	if a.Records {
		err = writeLines(root, fileRecords, e.Records)
	}
	if a.Inventory {
		err = errors.Join(err, writeLines(root, fileStore, e.Inventory))
	}
	return errors.Join(
		err, writeJSON(root, fileAbout, a), writeJSON(root, fileMarks, marks{e.Forbidden, e.Contents}),
		writeJSON(root, fileCanaries, append([]string{}, e.Canaries...)),
		writeJSON(root, fileSecrets, append([]string{}, e.Secrets...)),
		writeLines(root, fileTruth, e.Truth),
		writeLines(root, fileWebhooks, e.Webhooks),
		writeOutputs(root, e.Outputs),
	)
}

// LoadEvidence reads what Save wrote.
func LoadEvidence(dir string) (Evidence, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Evidence{}, fmt.Errorf("open evidence: %w", err)
	}
	defer root.Close() //nolint:errcheck // nothing was written
	var (
		a about
		m marks
		e Evidence
	)
	truth, err1 := readLines[Change](root, fileTruth)
	webhooks, err2 := readLines[Webhook](root, fileWebhooks)
	err = errors.Join(readJSON(root, fileAbout, &a), readJSON(root, fileCanaries, &e.Canaries), readJSON(root, fileSecrets, &e.Secrets),
		readJSON(root, fileMarks, &m), err1, err2)
	if a.Records {
		e.Records, err1 = readLines[RecordTruth](root, fileRecords)
	}
	if a.Inventory {
		e.Inventory, err2 = readLines[StoredObject](root, fileStore)
		e.Inventory = append([]StoredObject{}, e.Inventory...) // known, and maybe empty
	}
	if err := errors.Join(err, err1, err2); err != nil {
		return Evidence{}, err
	}
	e.Forbidden, e.Contents = m.Forbidden, m.Contents
	e.Prefix, e.Options, e.Truth, e.Webhooks = a.Prefix, a.Options, truth, webhooks
	e.Schema = func(_ context.Context, id int) (string, error) {
		text, ok := a.Schemas[id]
		if !ok {
			return "", fmt.Errorf("schema %d is not in %s", id, fileAbout)
		}
		return text, nil
	}
	if e.Outputs, err = ReadOutputs(filepath.Join(dir, dirOutputs)); err != nil {
		return Evidence{}, err
	}
	e.Dump = &Dump{}
	for _, name := range append(topicsOf(e.Prefix).always(), a.Topics...) {
		if !slices.Contains(slices.Concat(topicsOf(e.Prefix).always(), topicsOf(e.Prefix).maybe()), name) {
			return Evidence{}, fmt.Errorf("read %s: topic %q is none of a bridge", fileAbout, name)
		}
		t, err := readTopic(root, filepath.Join(dirTopics, name+topicSuffix))
		if err != nil {
			return Evidence{}, fmt.Errorf("read topic %s: %w", name, err)
		}
		t.Name = name
		e.Dump.Topics = append(e.Dump.Topics, t)
	}
	return e, nil
}

// registered collects the registry's schemas that the values of the public topics
// name: the directory must do without the registry.
func (e *Evidence) registered(ctx context.Context) (map[int]string, error) {
	if e.Schema == nil {
		return nil, nil
	}
	ids := make(map[int]string)
	for _, name := range []string{topicsOf(e.Prefix).status, topicsOf(e.Prefix).result} {
		t := e.Dump.topic(name)
		if t == nil {
			continue
		}
		t.each(func(_ *PartitionDump, r *Record) {
			if bytes.HasPrefix(r.Value, confluentMagic) && len(r.Value) >= 5 && !r.Control {
				ids[int(binary.BigEndian.Uint32(r.Value[1:]))] = ""
			}
		})
	}
	for id := range ids {
		text, err := e.Schema(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("look up schema %d: %w", id, err)
		}
		ids[id] = text
	}
	return ids, nil
}

// ReadOutputs reads every file below a directory, by its path in there.
func ReadOutputs(dir string) (map[string][]byte, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open outputs: %w", err)
	}
	defer root.Close() //nolint:errcheck // nothing was written
	out := make(map[string][]byte)
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		out[path], err = root.ReadFile(path)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read outputs: %w", err)
	}
	return out, nil
}

func writeOutputs(root *os.Root, outputs map[string][]byte) error {
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		path := filepath.Join(dirOutputs, name)
		if err := root.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
		if err := root.WriteFile(path, outputs[name], 0o600); err != nil {
			return fmt.Errorf("write output: %w", err)
		}
	}
	return nil
}

func writeJSON(root *os.Root, name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	if err := root.WriteFile(name, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write evidence: %w", err)
	}
	return nil
}

func readJSON(root *os.Root, name string, into any) error {
	text, err := root.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read evidence: %w", err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

func writeLines[T any](root *os.Root, name string, lines []T) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, line := range lines {
		if err := enc.Encode(line); err != nil {
			return fmt.Errorf("encode %s: %w", name, err)
		}
	}
	if err := root.WriteFile(name, b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write evidence: %w", err)
	}
	return nil
}

func readLines[T any](root *os.Root, name string) ([]T, error) {
	text, err := root.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read evidence: %w", err)
	}
	lines, err := DecodeLines[T](bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return lines, nil
}

// DecodeLines reads JSON values, one a line: the simulator's logs of truth and
// of webhooks, as Change and Webhook.
func DecodeLines[T any](r io.Reader) ([]T, error) {
	var out []T
	dec := json.NewDecoder(r)
	for {
		var v T
		switch err := dec.Decode(&v); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, fmt.Errorf("decode line %d: %w", len(out)+1, err)
		}
		out = append(out, v)
	}
}

// A topic's file has a line for each partition, and behind it one for each of
// its records.
type partitionLine struct {
	Partition int32 `json:"partition"`
	Start     int64 `json:"start"`
	Stable    int64 `json:"stable"`
	End       int64 `json:"end"`
	Records   int   `json:"records"`
}

type recordLine struct {
	Offset        int64        `json:"offset"`
	Timestamp     int64        `json:"timestamp"` // Unix ms
	LogAppendTime bool         `json:"logAppendTime,omitempty"`
	Key           text         `json:"key"`
	Headers       []headerLine `json:"headers,omitempty"`
	ProducerID    int64        `json:"producerId"`
	ProducerEpoch int16        `json:"producerEpoch"`
	Transactional bool         `json:"transactional,omitempty"`
	Control       bool         `json:"control,omitempty"`
	Visible       bool         `json:"visible,omitempty"`
	Value         []byte       `json:"value"` // base64
}

type headerLine struct {
	Key   text `json:"key"`
	Value text `json:"value"`
}

// text is bytes that are mostly text: a string where they are, an object with
// base64 where they are not. nil is null.
type text []byte

// MarshalJSON writes all bytes so that UnmarshalJSON gives the same.
func (t text) MarshalJSON() ([]byte, error) {
	switch {
	case t == nil:
		return []byte("null"), nil
	case utf8.Valid(t):
		return json.Marshal(string(t))
	default:
		return json.Marshal(map[string][]byte{"base64": t})
	}
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (t *text) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte("{")) {
		var coded struct {
			Base64 []byte `json:"base64"`
		}
		err := json.Unmarshal(b, &coded)
		*t = coded.Base64
		return err
	}
	var s *string
	if err := json.Unmarshal(b, &s); err != nil || s == nil {
		*t = nil
		return err
	}
	*t = text(*s)
	return nil
}

func writeTopic(root *os.Root, name string, t *TopicDump) (err error) {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	packed, err := gzip.NewWriterLevel(file, gzip.BestSpeed)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(packed)
	for i := range t.Partitions {
		p := &t.Partitions[i]
		if err := enc.Encode(partitionLine{p.Partition, p.Start, p.Stable, p.End, len(p.Records)}); err != nil {
			return err
		}
		for j := range p.Records {
			if err := enc.Encode(lineOf(&p.Records[j])); err != nil {
				return err
			}
		}
	}
	return packed.Close()
}

func lineOf(r *Record) recordLine {
	line := recordLine{
		Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(), LogAppendTime: r.LogAppendTime,
		Key: r.Key, ProducerID: r.ProducerID, ProducerEpoch: r.ProducerEpoch,
		Transactional: r.Transactional, Control: r.Control, Visible: r.Visible, Value: r.Value,
	}
	for _, h := range r.Headers {
		line.Headers = append(line.Headers, headerLine{text(h.Key), h.Value})
	}
	return line
}

func readTopic(root *os.Root, name string) (t TopicDump, err error) {
	file, err := root.Open(name)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	packed, err := gzip.NewReader(bufio.NewReaderSize(file, 1<<20))
	if err != nil {
		return t, err
	}
	dec := json.NewDecoder(packed)
	for {
		var head partitionLine
		switch err := dec.Decode(&head); {
		case errors.Is(err, io.EOF):
			return t, nil
		case err != nil:
			return t, fmt.Errorf("partition %d: %w", len(t.Partitions), err)
		}
		p := PartitionDump{Partition: head.Partition, Start: head.Start, Stable: head.Stable, End: head.End}
		for range head.Records {
			var line recordLine
			if err := dec.Decode(&line); err != nil {
				return t, fmt.Errorf("partition %d: record %d of %d: %w", head.Partition, len(p.Records), head.Records, err)
			}
			p.Records = append(p.Records, line.record())
		}
		t.Partitions = append(t.Partitions, p)
	}
}

func (l *recordLine) record() Record {
	r := Record{
		Offset: l.Offset, Timestamp: time.UnixMilli(l.Timestamp), LogAppendTime: l.LogAppendTime,
		Key: l.Key, Value: l.Value, ProducerID: l.ProducerID, ProducerEpoch: l.ProducerEpoch,
		Transactional: l.Transactional, Control: l.Control, Visible: l.Visible,
	}
	for _, h := range l.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: string(h.Key), Value: h.Value})
	}
	return r
}
