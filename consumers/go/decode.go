package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/twmb/avro" //nolint:depguard // a consumer shares no code with the bridge
	"github.com/twmb/franz-go/pkg/sr"
)

// decoder reads both framings that the content-type header names.
type decoder struct {
	file     *avro.Schema // of single-object values; nil with a registry
	registry *sr.Client
	byID     map[int]*avro.Schema
}

func newDecoder(schema string) (*decoder, error) {
	d := &decoder{byID: make(map[int]*avro.Schema)}
	if strings.Contains(schema, "://") {
		client, err := sr.NewClient(sr.URLs(schema))
		if err != nil {
			return nil, fmt.Errorf("open registry: %w", err)
		}
		d.registry = client
		return d, nil
	}
	text, err := os.ReadFile(schema) //nolint:gosec // the caller names the file
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	if d.file, err = avro.Parse(string(text)); err != nil {
		return nil, fmt.Errorf("parse schema: %w", err)
	}
	return d, nil
}

func (d *decoder) event(ctx context.Context, value []byte) (event map[string]any, err error) {
	if d.registry == nil {
		_, err = d.file.DecodeSingleObject(value, &event)
		return event, err
	}
	id, datum, err := new(sr.ConfluentHeader).DecodeID(value)
	if err != nil {
		return nil, err
	}
	if d.byID[id] == nil {
		found, err := d.registry.SchemaByID(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("look up schema %d: %w", id, err)
		}
		if d.byID[id], err = avro.Parse(found.Schema); err != nil {
			return nil, fmt.Errorf("parse schema %d: %w", id, err)
		}
	}
	_, err = d.byID[id].Decode(datum, &event)
	return event, err
}
