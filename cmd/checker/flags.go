package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/claim"
	"postident-bridge/schemas"
)

// flags say where the evidence is and how it is to be read.
type flags struct {
	brokers                            []string
	prefix, registry                   string
	truth, webhooks, canaries, secrets string
	forbidden, contents, truthRecords  string
	outputs, store                     string
	classes, records                   map[string]string
	results                            []string
	strict, all, progress, settled     bool
	latePDF                            bool
	letters                            []string
}

func (f *flags) declare(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringSliceVar(&f.brokers, "brokers", nil, "a live cluster, host:port; plain connections only")
	fs.StringVar(&f.prefix, "prefix", "postident.", "how the names of the topics begin")
	fs.StringVar(&f.registry, "registry", "", "URL of the schema registry, if the bridge has one")
	fs.StringVar(&f.truth, "truth", "", "file or URL: what happened, a change a line")
	fs.StringVar(&f.webhooks, "webhooks", "", "file or URL: the webhooks and their answers, one a line")
	fs.StringVar(&f.canaries, "canaries", "", "file or URL: marks of personal data, a JSON array")
	fs.StringVar(&f.secrets, "secrets", "", "file: credentials, a JSON array")
	fs.StringVar(&f.forbidden, "forbidden", "", "file or URL: marks of what a class must not have, a JSON array")
	fs.StringVar(&f.contents, "contents", "", "file or URL: marks of the content of binary records, a JSON array")
	fs.StringVar(&f.truthRecords, "record-truth", "", "file or URL: the binary records that there are, one a line")
	fs.StringVar(&f.store, "store", "", "URL of the records' store, as in BRIDGE_RECORDS_URL; it is read whole")
	fs.StringSliceVar(&f.results, "results", nil, "the accounts that publish results; all others have none")
	fs.StringToStringVar(&f.records, "records", nil, "an account that stores records, CLIENTID=images or CLIENTID=all; all others store none")
	fs.BoolVar(&f.latePDF, "late-pdf", false, "the API left result PDFs out for a while: one without a reference is no finding")
	fs.StringVar(&f.outputs, "outputs", "", "directory of logs and scrapes of metrics, searched with the topics")
	fs.StringToStringVar(&f.classes, "class", nil, "an account's regulatory class, CLIENTID=gwg")
	fs.BoolVar(&f.strict, "strict", false, "a change that was seen has its event, whatever followed it")
	fs.BoolVar(&f.all, "require-all", false, "every change has its event, seen or not")
	fs.BoolVar(&f.progress, "progress", false, "states without a status type are events too")
	fs.BoolVar(&f.settled, "settled", false, "the bridge was given the time to finish: what waits is a finding")
	fs.StringSliceVar(&f.letters, "dead-letter", nil, "a reason of dead letters that is expected")
}

// evidence gathers what the flags and the directory give.
func (f *flags) evidence(ctx context.Context, cmd *cobra.Command, args []string) (audit.Evidence, error) {
	var e audit.Evidence
	switch {
	case len(args) == 1 && len(f.brokers) > 0:
		return e, &usageError{"a directory or --brokers, not both"}
	case len(args) == 1:
		kept, err := audit.LoadEvidence(args[0])
		if err != nil {
			return e, err
		}
		e = kept
	case len(f.brokers) == 0:
		return e, &usageError{"neither a directory nor --brokers is given"}
	case f.truth == "" && cmd.Name() == "checker":
		return e, &usageError{"--truth is not given: there is nothing to judge by"}
	default:
		e.Kafka, e.Prefix = []kgo.Opt{kgo.SeedBrokers(f.brokers...)}, f.prefix
	}
	if f.registry != "" {
		registry, err := schemas.NewRegistry(schemas.RegistryConfig{URLs: []string{f.registry}})
		if err != nil {
			return e, &usageError{"--registry: " + err.Error()}
		}
		e.Schema = registry.SchemaByID
	}
	if err := f.options(cmd, &e.Options); err != nil {
		return e, err
	}
	return e, f.read(ctx, &e)
}

// options takes those that were given.
func (f *flags) options(cmd *cobra.Command, o *audit.Options) error {
	for name, set := range map[string]func(){
		"strict":      func() { o.Strict = f.strict },
		"require-all": func() { o.RequireAll = f.all },
		"progress":    func() { o.Progress = f.progress },
		"settled":     func() { o.Settled = f.settled },
		"dead-letter": func() { o.DeadLetters = f.letters },
		"results":     func() { o.Results = f.results },
		"late-pdf":    func() { o.LatePDF = f.latePDF },
	} {
		if cmd.Flags().Changed(name) {
			set()
		}
	}
	for client, which := range f.records {
		if which != "images" && which != "all" {
			return &usageError{fmt.Sprintf("--records: %q is neither images nor all", which)}
		}
		if o.Records == nil {
			o.Records = make(map[string]bool)
		}
		o.Records[client] = which == "all"
	}
	known := []schemas.RegulatoryClass{
		schemas.RegulatoryClassGwG, schemas.RegulatoryClassTKG, schemas.RegulatoryClassEIDAS,
		schemas.RegulatoryClassStandard, schemas.RegulatoryClassMobility,
	}
	for client, class := range f.classes {
		if !slices.Contains(known, schemas.RegulatoryClass(class)) {
			return &usageError{fmt.Sprintf("--class: %q is no regulatory class", class)}
		}
		if o.Classes == nil {
			o.Classes = make(map[string]schemas.RegulatoryClass)
		}
		o.Classes[client] = schemas.RegulatoryClass(class)
	}
	return nil
}

// read reads the files and URLs that are named.
func (f *flags) read(ctx context.Context, e *audit.Evidence) error {
	for _, s := range []struct {
		flag, from string
		take       func(text []byte) error
	}{
		{"truth", f.truth, func(text []byte) (err error) {
			e.Truth, err = audit.DecodeLines[audit.Change](bytes.NewReader(text))
			return err
		}},
		{"webhooks", f.webhooks, func(text []byte) (err error) {
			e.Webhooks, err = audit.DecodeLines[audit.Webhook](bytes.NewReader(text))
			return err
		}},
		{"canaries", f.canaries, func(text []byte) error { return json.Unmarshal(text, &e.Canaries) }},
		{"forbidden", f.forbidden, func(text []byte) error { return json.Unmarshal(text, &e.Forbidden) }},
		{"contents", f.contents, func(text []byte) error { return json.Unmarshal(text, &e.Contents) }},
		{"record-truth", f.truthRecords, func(text []byte) (err error) {
			e.Records, err = audit.DecodeLines[audit.RecordTruth](bytes.NewReader(text))
			return err
		}},
		{"secrets", f.secrets, func(text []byte) error { return json.Unmarshal(text, &e.Secrets) }},
	} {
		if s.from == "" {
			continue
		}
		text, err := fetch(ctx, s.from)
		if err == nil {
			err = s.take(text)
		}
		if err != nil {
			return fmt.Errorf("read --%s: %w", s.flag, err)
		}
	}
	if f.outputs != "" {
		outputs, err := audit.ReadOutputs(f.outputs)
		if err == nil && len(outputs) == 0 {
			err = errors.New("no files there")
		}
		if err != nil {
			return fmt.Errorf("read --outputs: %w", err)
		}
		e.Outputs = outputs
	}
	if f.store != "" {
		inventory, err := readStore(ctx, f.store, e.Forbidden)
		if err != nil {
			return fmt.Errorf("read --store: %w", err)
		}
		e.Inventory = inventory
	}
	return nil
}

// readStore reads all that a store holds.
func readStore(ctx context.Context, url string, forbidden []string) (_ []audit.StoredObject, err error) {
	store, err := claim.Open(ctx, url)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return audit.TakeInventory(ctx, store, forbidden)
}

// fetch reads a file, or what a URL answers.
func fetch(ctx context.Context, from string) ([]byte, error) {
	if !strings.HasPrefix(from, "http://") && !strings.HasPrefix(from, "https://") {
		return os.ReadFile(from) //nolint:gosec // the operator names the file
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", from, resp.Status)
	}
	return text, nil
}
