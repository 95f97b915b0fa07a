package scrsim

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"postident-bridge/internal/scr"
)

// record is one file of an identification (guide 8.6.7).
type record struct {
	id        string
	belongsTo string
	kind      string
	name      string
	checked   object // what photo says of it; nil for other methods
	pdf       bool   // else a JPEG
	there     bool   // the state has the content
	allowed   bool   // the class and the method may have it
}

func (rec record) mediaType() string {
	if rec.pdf {
		return "application/pdf"
	}
	return "image/jpeg"
}

var recordTypes = []string{
	"result", "resultdata", "resultimages", "userface", "usersignature", "idfrontside", "idbackside",
	"idsignature", "idimage", "dlfrontside", "dlbackside", "dlimage",
}

// methodRecords are the records of the method itself, the result PDF included.
func (r result) methodRecords() []record {
	var kinds []string
	if r.hasData() && !r.c.acct.Records.NoResultPDF {
		switch {
		case !r.c.acct.Records.SplitPDF:
			kinds = []string{"result"}
		case r.hasContent("resultimages") && r.allowsContent("resultimages"):
			kinds = []string{"resultdata", "resultimages"}
		default: // there are no images to show
			kinds = []string{"resultdata"}
		}
	}
	switch r.ident.method {
	case scr.MethodBasic:
		if r.hasData() {
			kinds = append(kinds, "usersignature")
		}
	case scr.MethodVideo, scr.MethodAutoID:
		if r.hasData() {
			kinds = append(kinds, "userface")
		}
	case scr.MethodPhoto:
		if r.isUploaded() {
			kinds = append(kinds, "userface")
		}
	}
	return r.records("method", kinds...)
}

func (r result) documentRecords() []record {
	const belongsTo = "identificationdocument"
	sides := []string{"idfrontside", "idbackside"}
	if r.isTravelDocument() {
		sides = []string{"idimage", "idimage"}
	}
	switch r.ident.method {
	case scr.MethodPhoto:
		if r.isUploaded() {
			return r.records(belongsTo, sides...)
		}
	case scr.MethodVideo:
		if r.hasData() {
			return r.records(belongsTo, append(sides, "idsignature")...)
		}
	case scr.MethodBasic:
		if r.hasData() {
			return r.records(belongsTo, sides...)
		}
	case scr.MethodEID: // uploaded by the user, which only class GwG can ask for
		if r.hasData() && r.c.acct.Records.EIDImages && (r.class == scr.ClassGwG || r.forbidden) {
			return r.records(belongsTo, sides...)
		}
	case scr.MethodAutoID: // has images, and never gives them (guide 4.1)
		if r.hasData() && r.forbidden {
			return r.records(belongsTo, sides...)
		}
	}
	return nil
}

func (r result) licenceRecords() []record {
	switch {
	case !r.checksLicence() || !r.isUploaded():
		return nil
	case r.c.serial%5 == 4:
		return r.records("drivinglicence", "dlimage", "dlimage")
	default:
		return r.records("drivinglicence", "dlfrontside", "dlbackside")
	}
}

// isUploaded says that photo has its images, final or not.
func (r result) isUploaded() bool {
	expired := r.ident.subStatus != nil && *r.ident.subStatus == expiredCode
	return r.ident.status != scr.StatusStarted && !expired
}

// records makes the records of one object. A type that comes again has a number.
func (r result) records(belongsTo string, kinds ...string) []record {
	out := make([]record, len(kinds))
	for i, kind := range kinds {
		out[i] = r.record(belongsTo, kind, slices.Contains(kinds[:i], kind))
	}
	return out
}

func (r result) record(belongsTo, kind string, again bool) record {
	c := r.c
	number := r.index*20 + slices.Index(recordTypes, kind)
	if again {
		number = r.index*20 + len(recordTypes) + slices.Index([]string{"idimage", "dlimage"}, kind)
	}
	id := 63_000_000 + c.serial*100 + number
	if number >= 100 { // a sixth attempt
		id = 63_000_000_000_000 + c.serial*10_000 + number
	}
	rec := record{
		id: strconv.Itoa(id), belongsTo: belongsTo, kind: kind,
		pdf: strings.HasPrefix(kind, "result"), there: r.hasContent(kind), allowed: r.allowsContent(kind),
	}
	rec.name = c.id + "_" + kind
	if rec.pdf {
		rec.name += "_" + r.ident.method
	}
	if again {
		rec.name += "_2"
	}
	rec.name += map[bool]string{true: ".pdf", false: ".jpg"}[rec.pdf]
	if r.ident.method == scr.MethodPhoto && !rec.pdf {
		rec.checked = r.checked(rec)
	}
	return rec
}

// file is the content of a record: the same for a seed of the simulator, a case
// and a record, unless a fault has it otherwise.
func (r result) file(rec record) *file {
	c := r.c
	f := &file{pdf: rec.pdf}
	switch {
	case !rec.allowed:
		f.mark = c.forbidden(rec.kind)
	case r.class == scr.ClassTKG && rec.belongsTo == "identificationdocument": // guide 8.6.7
		f.mark = c.canary("blackened-" + rec.kind)
	default:
		f.mark = c.canary(rec.kind)
	}
	key := binary.BigEndian.AppendUint64(nil, c.acct.seed)
	key = append(key, c.acct.ClientID+"/"+c.id+"/"+strconv.Itoa(c.serial)+"/"+rec.id...)
	f.seed = sha256.Sum256(key)
	sizes := c.acct.Records.Image
	if f.pdf {
		sizes = c.acct.Records.PDF
	}
	f.size = sizes.at(binary.BigEndian.Uint64(f.seed[:]))
	if r.salt != 0 {
		f.seed = sha256.Sum256(binary.BigEndian.AppendUint64(key, r.salt))
	}
	return f
}

// at is one of the sizes, by a draw of all 64 bits.
func (s Sizes) at(draw uint64) int64 {
	part := float64(draw>>11) / (1 << 53)
	size := int64(float64(s.Min) * math.Pow(float64(s.Max)/float64(s.Min), part))
	return min(max(size, s.Min), s.Max)
}

// checked is guide 4.4.1.
func (r result) checked(rec record) object {
	switch r.ident.status {
	case scr.StatusReviewPending:
		return object{"validationStatus": "unchecked"}
	case scr.StatusSuccess:
		return object{"validationStatus": "valid"}
	default:
		return object{
			"validationStatus": "invalid", "validationSubStatus": r.trouble(rec.belongsTo),
			"validationRemark": r.c.canary("remark-" + rec.kind),
		}
	}
}

// trouble is a validationSubStatus that fits the identification's own.
func (r result) trouble(belongsTo string) string {
	document := belongsTo != "method"
	code := 0
	if r.ident.subStatus != nil {
		code = *r.ident.subStatus
	}
	switch {
	case code == 31 && document:
		return "document not supported"
	case code == 32 && document:
		return "document expired"
	case code == fraudCode && document:
		return "fraud suspicion"
	case code == 15 && document:
		return "abuse"
	case code == 33 && document:
		return "document not identifiable"
	case code == 33:
		return "person not identifiable"
	}
	return []string{"bad exposure", "too blurry", "partly concealed", "picture detail not sufficient"}[r.c.serial%4]
}

// wire is the wire form of the records that the answer gives: the result PDF
// only where it is asked for, content only where it is asked for, there, and
// allowed.
func (r result) wire(records []record) []object {
	out := make([]object, 0, len(records))
	for _, rec := range records {
		late := pdfThere
		if rec.pdf {
			late = r.pdfLate
		}
		if rec.pdf && !r.pdf || late == pdfAbsent {
			continue
		}
		o := object{
			"recordId": rec.id, "belongsTo": rec.belongsTo, "type": rec.kind, "mimeType": rec.mediaType(),
			"fileName": rec.name,
		}
		maps.Copy(o, rec.checked)
		if r.binary && rec.there && (rec.allowed || r.forbidden) && late == pdfThere {
			o["documentData"] = r.file(rec)
		}
		out = append(out, o)
	}
	return out
}
