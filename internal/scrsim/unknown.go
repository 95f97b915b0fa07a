package scrsim

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
)

// sprinkle adds fields that no guide knows to o and to the objects in it, also
// those in lists: to each with the chance that the account has. What it adds
// depends on the case and the place alone, so that each answer has the same. With
// binary some hold the content of a file.
func (c *simCase) sprinkle(o object, binary bool) { c.sprinkleAt("", o, binary) }

func (c *simCase) sprinkleAt(path string, o object, binary bool) {
	for _, name := range slices.Sorted(maps.Keys(o)) {
		switch inner := o[name].(type) {
		case object:
			c.sprinkleAt(path+"."+name, inner, binary)
		case []object:
			for i, element := range inner {
				key := any(i)
				if id, ok := element["recordId"]; ok {
					key = id // whether a result PDF is asked for moves the others
				}
				c.sprinkleAt(fmt.Sprintf("%s.%s[%v]", path, name, key), element, binary)
			}
		}
	}
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d/%d%s", c.acct.seed, c.serial, path) // a hash takes everything
	draw := mix(h.Sum64())
	if float64(draw>>11)/(1<<53) >= c.acct.Wire.UnknownFields {
		return
	}
	name, v := c.unknownField(draw, binary)
	if _, taken := o[name]; !taken {
		o[name] = v
	}
}

// mix spreads the last bits of an FNV sum over all of them.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// unknownField is one of the shapes in which a field may come that nobody knows
// yet. Its texts are canaries: they could be anybody's. So could the name of one.
// FirstName and DocumentData are unknown to who knows firstName and documentData:
// names in JSON are told apart by case (RFC 8259, 4).
func (c *simCase) unknownField(draw uint64, binary bool) (name string, v any) {
	text := c.canary("unknown")
	switch draw % 10 {
	case 0:
		return "maritalStatus", value(text, "new")
	case 1:
		return "legalGuardian", object{
			"name": text, "since": c.canaryDate(issueYear), "address": c.plainAddress(),
			"levels": object{"one": object{"two": object{"three": []any{object{"four": text}, []any{text}, nil}}}},
		}
	case 2:
		return "biometricScores", []object{{"score": 0.875, "remark": text}, {"score": 1e-3}, {}}
	case 3:
		return "schemaVersion", 20_240_424
	case 4:
		return "reviewed", true
	case 5:
		return "releaseNote", nil
	case 6:
		return "FirstName", value(text, "new")
	case 7:
		return text, "x" // the name is the canary
	case 8:
		return "Prüfvermerk", text + " \"\\/\u2028<&>\u00e4\U0001F4C4"
	default:
		if !binary {
			return "remarks", []string{text, text}
		}
		f := &file{size: minFile + int64(draw>>32%4096), mark: text}
		copy(f.seed[:], strconv.FormatUint(draw, 10))
		return "DocumentData", f
	}
}
