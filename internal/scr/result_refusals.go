package scr

import (
	"slices"
	"strings"
	"sync"
	"unicode"
)

// refusals say what is not kept of what nobody knows, wherever it stands: it has the
// name of a field that some class or method may have and this class, or one of these
// methods, may not.
type refusals struct {
	class   classes
	methods methods
}

// refusal is why nothing with a name is kept, "" if it may be. In a driving licence
// nothing is either that no class may have of one (facts C29).
func (r refusals) refusal(name string, licence bool) DropReason {
	folded := foldName(name)
	if folded == foldName(contentName) || isContent([]byte(name)) {
		return DroppedContent
	}
	for _, a := range limitsOfNames()[folded] {
		if a.classes == 0 && !licence {
			continue
		}
		if a.classes&r.class == 0 || r.methods&^a.methods != 0 {
			return DroppedClass
		}
	}
	return ""
}

// limitsOfNames has the allowances of all fields that have one, by each of their
// spellings, folded.
var limitsOfNames = sync.OnceValue(func() map[string][]allowance {
	limits := make(map[string][]allowance)
	var walk func(p *resultPlan)
	walk = func(p *resultPlan) {
		for _, f := range p.fields {
			for _, name := range f.names {
				name = foldName(name)
				if f.allowance != everyone && !slices.Contains(limits[name], f.allowance) {
					limits[name] = append(limits[name], f.allowance)
				}
			}
			if f.inner != nil {
				walk(f.inner)
			}
		}
	}
	walk(planOfResult())
	return limits
})

// foldName is the same for all ways to write a name: birthName, BirthName, birth_name.
func foldName(name string) string {
	return strings.Map(func(c rune) rune {
		if c == '_' || c == '-' || c == ' ' {
			return -1
		}
		return unicode.ToLower(unicode.ToUpper(c))
	}, name)
}

// isLicence reports whether a name is that of a driving licence, however it is spelt.
func isLicence(name string) bool {
	name = foldName(name)
	return strings.Contains(name, "licence") || strings.Contains(name, "license")
}

func inLicence(path []step) bool {
	return slices.ContainsFunc(path, func(s step) bool { return isLicence(s.name) })
}
