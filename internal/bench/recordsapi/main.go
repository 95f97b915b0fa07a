// Command recordsapi is the API that answers the figure records: reads of cases with
// a result PDF and six images (guide 8.6.7), in JWEs that were made before, so that
// neither making nor encrypting an answer is what is measured.
//
// It prints the address that it serves, and serves until it is told to stop. The
// first read of a case with a key waits until its answer is sealed; POST /prepare
// seals all for the key that was shown first.
package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-jose/go-jose/v4"

	"postident-bridge/internal/scr"
)

func main() {
	if err := run(); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "recordsapi: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	sample := flag.String("answer", "", "the file with an answer of a video identification")
	caseID := flag.String("case", "", "the caseId in it")
	cases := flag.String("cases", "", "the caseIds to answer for, separated by commas")
	pdf := flag.Int("pdf", 0, "bytes of the PDF")
	images := flag.String("images", "", "bytes of each image, separated by commas")
	chunked := flag.Bool("chunked", false, "do not say how long an answer is")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	answers, err := newAnswers(*sample, *caseID, *pdf, strings.Split(*images, ","))
	if err != nil {
		return err
	}
	a := &api{answers: answers, cases: strings.Split(*cases, ","), chunked: *chunked}
	var conf net.ListenConfig
	listener, err := conf.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /prepare", a.prepare)
	mux.HandleFunc("GET /", a.read)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if _, err := fmt.Fprintln(os.Stdout, listener.Addr()); err != nil {
		return fmt.Errorf("print address: %w", err)
	}
	if err := server.Serve(listener); ctx.Err() == nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// answers are what a case looks like without content and with all of it.
type answers struct {
	caseID      string
	plain, full []byte
}

// newAnswers fills the records of an answer with content that no compression makes
// smaller: the PDF, and images of these sizes one after the other.
func newAnswers(path, caseID string, pdf int, images []string) (answers, error) {
	a := answers{caseID: caseID}
	sample, err := os.ReadFile(path)
	if err != nil {
		return a, fmt.Errorf("read answer: %w", err)
	}
	var root map[string]any
	if err := json.Unmarshal(sample, &root); err != nil {
		return a, fmt.Errorf("read answer: %w", err)
	}
	ident, _ := root["primaryIdent"].(map[string]any)
	document, _ := ident["identificationDocument"].(map[string]any)
	if document == nil {
		return a, errors.New("read answer: no identification with a document")
	}
	ident["records"] = addRecord(ident["records"], "63352003", "method", "usersignature")
	document["records"] = addRecord(document["records"], "63352004", "identificationdocument", "idimage")
	if a.plain, err = json.Marshal(root); err != nil {
		return a, fmt.Errorf("write answer: %w", err)
	}
	random := rand.NewChaCha8([32]byte{6})
	for _, list := range []any{ident["records"], document["records"]} {
		records, _ := list.([]any)
		for _, r := range records {
			record, _ := r.(map[string]any)
			size := pdf
			if record["mimeType"] != "application/pdf" {
				if len(images) == 0 {
					return a, errors.New("too few images")
				}
				if size, err = strconv.Atoi(images[0]); err != nil {
					return a, fmt.Errorf("read size of image: %w", err)
				}
				images = images[1:]
			}
			content := make([]byte, size)
			_, _ = random.Read(content) // never fails
			record["documentData"] = base64.StdEncoding.EncodeToString(content)
		}
	}
	if a.full, err = json.Marshal(root); err != nil {
		return a, fmt.Errorf("write answer: %w", err)
	}
	return a, nil
}

func addRecord(list any, id, belongsTo, kind string) []any {
	records, _ := list.([]any)
	return append(records, map[string]any{
		"recordId": id, "belongsTo": belongsTo, "type": kind, "mimeType": "image/jpeg", "fileName": kind + ".jpg",
	})
}

// api answers reads. It does as little as it can: it shares the cores with what is
// measured.
type api struct {
	answers answers
	cases   []string
	chunked bool

	mu     sync.Mutex
	key    string            // guarded by mu: the first, as the header has it
	sealed map[string][]byte // guarded by mu, by key, case and whether content is in it
}

func (a *api) read(w http.ResponseWriter, r *http.Request) {
	_, rest, _ := strings.Cut(r.URL.Path, "/cases/")
	caseID, _, _ := strings.Cut(rest, "/")
	body, err := a.answer(r.Header.Get(scr.HeaderKey), caseID, r.URL.Query().Get("includeBinaryData") == "true")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/jose")
	if !a.chunked {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	_, _ = w.Write(body) //nolint:gosec // made by us; an error says that the client has gone
}

func (a *api) answer(key, caseID string, full bool) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name := fmt.Sprint(key, caseID, full)
	if body := a.sealed[name]; body != nil {
		return body, nil
	}
	body, err := a.answers.seal(key, caseID, full)
	if err != nil {
		return nil, err
	}
	if a.sealed == nil {
		a.sealed = make(map[string][]byte)
	}
	a.sealed[name] = body
	a.key = cmp.Or(a.key, key)
	return body, nil
}

func (a *api) prepare(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	key := a.key
	a.mu.Unlock()
	for _, caseID := range a.cases {
		for _, full := range []bool{false, true} {
			if _, err := a.answer(key, caseID, full); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// seal makes the answer for one case, for the key in the request.
func (a answers) seal(header, caseID string, full bool) ([]byte, error) {
	der, err := base64.StdEncoding.DecodeString(header)
	if err != nil {
		return nil, fmt.Errorf("decode key: %w", err)
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("parse key: %w", err)
	}
	public, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("not an RSA key")
	}
	encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: public}, nil)
	if err != nil {
		return nil, fmt.Errorf("set up encryption: %w", err)
	}
	plain := a.plain
	if full {
		plain = a.full
	}
	object, err := encrypter.Encrypt(bytes.ReplaceAll(plain, []byte(a.caseID), []byte(caseID)))
	if err != nil {
		return nil, fmt.Errorf("encrypt answer: %w", err)
	}
	compact, err := object.CompactSerialize()
	if err != nil {
		return nil, fmt.Errorf("write answer: %w", err)
	}
	return []byte(compact), nil
}
