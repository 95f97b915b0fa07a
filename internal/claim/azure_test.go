package claim_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postident-bridge/internal/claim"
)

const (
	azureAccount = "devaccount"
	azureKey     = "Y2FuYXJ5LXN0b3JhZ2Uta2V5LWNhbmFyeS1zdG9yYWdl"
)

// azure answers the requests of Azure Blob Storage that the bridge makes, from
// memory, as the emulator of the SDK's documentation does. It is no proof that the
// bridge works with Azure: it shows that what the driver is told goes out, and
// what its answers become. Signatures are not checked.
type azure struct {
	server *httptest.Server

	mu     sync.Mutex
	blobs  map[string]azureBlob
	blocks map[string][]byte // by blob and block id, not committed yet
}

type azureBlob struct {
	content   []byte
	mediaType string
	metadata  http.Header
	modified  time.Time
}

func newAzure(t *testing.T) *azure {
	t.Helper()
	a := &azure{blobs: make(map[string]azureBlob), blocks: make(map[string][]byte)}
	a.server = httptest.NewServer(http.HandlerFunc(a.serve))
	t.Cleanup(func() {
		a.server.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return a
}

func (a *azure) url(prefix string) string {
	return "azblob://records/" + prefix + "?localemu=true&protocol=http&domain=" + strings.TrimPrefix(a.server.URL, "http://")
}

func (a *azure) overwrite(key string, content []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.blobs[key] = azureBlob{content: content, mediaType: "text/plain", modified: time.Now()}
}

func (a *azure) age(key string, by time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.blobs[key]
	b.modified = time.Now().Add(-by)
	a.blobs[key] = b
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("x-ms-error-code", code)
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>canary-message</Message></Error>", code)
}

func (a *azure) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client gave up
	}
	key, ok := strings.CutPrefix(r.URL.Path, "/"+azureAccount+"/records")
	switch {
	case !ok:
		refuse(w, http.StatusNotFound, "ContainerNotFound")
		return
	case !strings.HasPrefix(r.Header.Get("Authorization"), "SharedKey "+azureAccount+":"):
		refuse(w, http.StatusForbidden, "AuthenticationFailed")
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	key = strings.TrimPrefix(key, "/")
	if comp := r.URL.Query().Get("comp"); comp == "list" {
		a.list(w, r)
	} else if r.Method == http.MethodPut {
		a.put(w, r, key, comp, body)
	} else {
		a.get(w, r, key)
	}
}

func (a *azure) put(w http.ResponseWriter, r *http.Request, key, comp string, body []byte) {
	if comp == "block" {
		a.blocks[key+r.URL.Query().Get("blockid")] = body
		w.WriteHeader(http.StatusCreated)
		return
	}
	if _, exists := a.blobs[key]; exists && r.Header.Get("If-None-Match") == "*" {
		refuse(w, http.StatusConflict, "BlobAlreadyExists")
		return
	}
	if comp == "blocklist" {
		var list struct {
			IDs []string `xml:"Latest"`
		}
		if err := xml.Unmarshal(body, &list); err != nil {
			refuse(w, http.StatusBadRequest, "InvalidXmlDocument")
			return
		}
		body = nil
		for _, id := range list.IDs {
			body = append(body, a.blocks[key+id]...)
		}
	}
	b := azureBlob{content: body, mediaType: r.Header.Get("x-ms-blob-content-type"), metadata: make(http.Header), modified: time.Now()}
	for name, values := range r.Header {
		if strings.HasPrefix(name, "X-Ms-Meta-") {
			b.metadata[name] = values
		}
	}
	a.blobs[key] = b
	w.Header().Set("Etag", `"0x1"`)
	w.Header().Set("Last-Modified", b.modified.UTC().Format(http.TimeFormat))
	w.WriteHeader(http.StatusCreated)
}

func (a *azure) get(w http.ResponseWriter, r *http.Request, key string) {
	b, ok := a.blobs[key]
	if !ok {
		refuse(w, http.StatusNotFound, "BlobNotFound")
		return
	}
	if r.Method == http.MethodDelete {
		delete(a.blobs, key)
		w.WriteHeader(http.StatusAccepted)
		return
	}
	maps.Copy(w.Header(), b.metadata)
	w.Header().Set("Content-Type", b.mediaType)
	w.Header().Set("x-ms-creation-time", b.modified.UTC().Format(http.TimeFormat))
	w.Header().Set("Content-Length", strconv.Itoa(len(b.content)))
	w.Header().Set("Etag", `"0x1"`)
	w.Header().Set("Last-Modified", b.modified.UTC().Format(http.TimeFormat))
	if r.Method == http.MethodGet {
		_, _ = io.Copy(w, bytes.NewReader(b.content))
	}
}

func (a *azure) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	size, _ := strconv.Atoi(q.Get("maxresults"))
	var out strings.Builder
	out.WriteString(`<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>`)
	next, n := "", 0
	for _, key := range slices.Sorted(maps.Keys(a.blobs)) {
		if !strings.HasPrefix(key, q.Get("prefix")) || key < q.Get("marker") {
			continue
		}
		if n++; n > size {
			next = key
			break
		}
		fmt.Fprintf(&out, "<Blob><Name>%[1]s</Name><Properties><Last-Modified>%[2]s</Last-Modified><Creation-Time>%[2]s</Creation-Time><Etag>0x1</Etag><Content-Length>%[3]d</Content-Length></Properties></Blob>",
			key, a.blobs[key].modified.UTC().Format(http.TimeFormat), len(a.blobs[key].content))
	}
	out.WriteString("</Blobs><NextMarker>" + next + "</NextMarker></EnumerationResults>")
	w.Header().Set("Content-Type", "application/xml")
	_, _ = io.WriteString(w, out.String())
}

func TestAzureURLs(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"azblob://records":                                                   "azblob://records/",
		"azblob://records/a/b/?storage_account=acc1":                         "azblob://records/a/b/",
		"azblob://records?storage_account=acc1&domain=blob.core.windows.net": "azblob://records/",
	} {
		s, err := claim.Open(t.Context(), url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if s.String() != want {
			t.Errorf("%s is %s, want %s", url, s, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, url := range []string{
		"azblob://", "azblob://Records", "azblob://r", "azblob://records?sig=canary", "azblob://user:canary@records",
		"azblob://records?domain=canary.example.com", "azblob://records?protocol=http", "azblob://records?cdn=canary",
		"azblob://records?storage_account=a&storage_account=b",
	} {
		if s, err := claim.Open(t.Context(), url); err == nil {
			t.Errorf("%s opens as %s", url, s)
		}
	}
}
