package audit

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// MaxValue is the longest value that a record of any topic may have, in bytes.
const MaxValue = 200_000

// longestRun is how long a run of base64 may be before it counts as the content of
// a record: an image of a thumb's nail is longer, and no field of ours is.
const longestRun = 1024

// contentHeads are what files begin with that records are. Shorter ones would be
// found in digests.
var contentHeads = [][]byte{[]byte("%PDF-"), []byte("\xff\xd8\xff\xe0\x00\x10JFIF")}

// checkValues looks at every value, one that does not show included, for what no
// topic may hold: too much, or the content of a binary record.
func (j *judgement) checkValues() {
	for i := range j.dump.Topics {
		t := &j.dump.Topics[i]
		t.each(func(p *PartitionDump, r *Record) {
			where := place(t.Name, p.Partition, r.Offset)
			if len(r.Value) > MaxValue {
				j.found(Oversized, where, "its value has %d bytes", len(r.Value))
			}
			if run := base64Run(r.Value); run > longestRun {
				j.found(ContentShown, where, "its value has %d characters of base64 in a row", run)
			}
			if slices.ContainsFunc(contentHeads, func(head []byte) bool { return bytes.Contains(r.Value, head) }) {
				j.found(ContentShown, where, "its value holds a file")
			}
		})
	}
}

// base64Run is the length of the longest run of characters of either base64
// alphabet, line breaks left out.
func base64Run(data []byte) int {
	longest, run := 0, 0
	for _, b := range data {
		switch {
		case b >= 'A' && b <= 'Z', b >= 'a' && b <= 'z', b >= '0' && b <= '9', b == '+', b == '/', b == '-', b == '_':
			run++
			longest = max(longest, run)
		case b == '\r', b == '\n':
		default:
			run = 0
		}
	}
	return longest
}

// sought is what must not stand in some places.
type sought struct {
	kind     Kind
	what     string
	forms    *forms
	inResult bool // in the result topic
	outside  bool // everywhere else
}

// soughtAfter is all that is looked for.
func (j *judgement) soughtAfter() ([]sought, error) {
	var out []sought
	// Where all canaries are looked for, those of what is forbidden are.
	rest := slices.DeleteFunc(slices.Clone(j.e.Forbidden), func(mark string) bool {
		return slices.ContainsFunc(j.e.Canaries, func(c string) bool { return strings.Contains(mark, c) })
	})
	for _, s := range []struct {
		sought

		needles []string
	}{
		{sought{kind: Leaked, what: "canary", outside: true}, j.e.Canaries},
		{sought{kind: Leaked, what: "forbidden canary", inResult: true}, j.e.Forbidden},
		{sought{kind: Leaked, what: "forbidden canary", outside: true}, rest},
		{sought{kind: ContentShown, what: "mark of content", inResult: true}, j.e.Contents},
		{sought{kind: SecretShown, what: "secret", inResult: true, outside: true}, j.e.Secrets},
	} {
		if len(s.needles) == 0 {
			continue
		}
		var err error
		if s.forms, err = newForms(s.needles); err != nil {
			return nil, err
		}
		out = append(out, s.sought)
	}
	return out, nil
}

// search looks for canaries and secrets in every record, output, and name and
// metadata of an object.
func (j *judgement) search() error {
	all, err := j.soughtAfter()
	if err != nil || len(all) == 0 {
		return err
	}
	counted := false
	for _, s := range all {
		searched := j.searchTopics(s)
		if s.outside {
			for _, name := range slices.Sorted(maps.Keys(j.e.Outputs)) {
				searched += j.searchOutput(s, name, j.e.Outputs[name])
			}
			for i := range j.e.Inventory {
				searched += j.searchOutput(s, objectName(i), j.e.Inventory[i].shows())
			}
		}
		if s.outside && !counted {
			j.verdict.Searched, counted = searched, true
		}
	}
	if outputs := j.e.Outputs; len(outputs) > 0 && !slices.ContainsFunc(slices.Collect(maps.Values(outputs)), func(o []byte) bool { return len(o) > 0 }) {
		return errors.New("search: every output is empty, which proves nothing")
	}
	return nil
}

func (j *judgement) searchOutput(s sought, name string, data []byte) int64 {
	for _, hit := range s.forms.in(data) {
		j.found(s.kind, name, "%s %d%s stands at byte %d", s.what, hit.needle, hit.form, hit.at)
	}
	return int64(len(data))
}

// objectName names an object without its name, which may be the leak.
func objectName(i int) string { return "object " + strconv.Itoa(i) + " of the store" }

// shows is what people see of an object without reading it.
func (o *StoredObject) shows() []byte {
	var b strings.Builder
	b.WriteString(o.Location + "\n" + o.MediaType + "\n")
	for _, name := range slices.Sorted(maps.Keys(o.Metadata)) {
		b.WriteString(name + "\n" + o.Metadata[name] + "\n")
	}
	return []byte(b.String())
}

func (j *judgement) searchTopics(s sought) (searched int64) {
	for i := range j.dump.Topics {
		t := &j.dump.Topics[i]
		if t.Name == j.topics.result && !s.inResult || t.Name != j.topics.result && !s.outside {
			continue
		}
		t.each(func(p *PartitionDump, r *Record) {
			in := func(part string, data []byte) {
				searched += int64(len(data))
				for _, hit := range s.forms.in(data) {
					j.found(s.kind, place(t.Name, p.Partition, r.Offset), "%s %d%s stands in its %s", s.what, hit.needle, hit.form, part)
				}
			}
			in("key", r.Key)
			in("value", r.Value)
			for k, h := range r.Headers {
				// The name of a header is not repeated: it may be the leak.
				in("header name "+strconv.Itoa(k), []byte(h.Key))
				in("header value "+strconv.Itoa(k), h.Value)
			}
		})
	}
	return searched
}
