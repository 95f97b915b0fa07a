package main

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"postident-bridge/internal/rotate"
)

// What a setting can be needed for, besides the roles.
const (
	needKafka    = "kafka"
	needRegistry = "registry"
	needRecords  = "records"
)

// mistake is one thing wrong with one variable. Problem never holds a secret.
type mistake struct {
	Variable string
	Problem  string
}

// settingsError lists everything that is wrong with the environment at once, in
// the order of docs/configuration.md.
type settingsError struct{ Mistakes []mistake }

func (e *settingsError) Error() string {
	var b strings.Builder
	plural := "s"
	if len(e.Mistakes) == 1 {
		plural = ""
	}
	fmt.Fprintf(&b, "%d mistake%s in the settings, nothing was started:", len(e.Mistakes), plural)
	for _, m := range e.Mistakes {
		fmt.Fprintf(&b, "\n  %s: %s", m.Variable, m.Problem)
	}
	return b.String()
}

// loadSettings reads the settings from an environment (as os.Environ gives it)
// for a command that needs the named parts. What is set is checked whether
// needed or not. The warnings name variables that nothing reads. The error is a
// *settingsError; the settings are filled as far as they go even then.
func loadSettings(environ []string, needs ...string) (settings, []mistake, error) {
	l := newLoader(environ)
	s := settings{Telemetry: l.telemetry()}
	l.parse(&s, envPrefix)
	for _, n := range l.accountNumbers(needs) {
		a := accountSettings{Number: n}
		l.parse(&a, accountPrefix(n))
		s.Accounts = append(s.Accounts, a)
	}
	for _, f := range settingFields(&s) {
		l.checkField(f, needs)
	}
	l.checkTogether(s, needs)
	s.Files = l.files
	if len(l.mistakes) == 0 {
		return s, l.unread(settingFields(&s)), nil
	}
	order := make(map[string]int)
	for i, f := range settingFields(&s) {
		order[f.Name] = i
	}
	slices.SortStableFunc(l.mistakes, func(a, b mistake) int { return order[a.Variable] - order[b.Variable] })
	return s, l.unread(settingFields(&s)), &settingsError{Mistakes: l.mistakes}
}

// loader gathers the mistakes of one reading of an environment.
type loader struct {
	env      map[string]string // after <variable>_FILE was read into <variable>
	given    map[string]string // as it came
	files    map[string]string // variable -> the file that it was read from
	mistakes []mistake
	current  string // the variable that caarlos0/env is setting
}

func newLoader(environ []string) *loader {
	l := &loader{env: env.ToMap(environ), given: env.ToMap(environ), files: make(map[string]string)}
	return l
}

func (l *loader) wrong(variable, format string, args ...any) {
	// One problem a variable: a value that does not parse is not also missing.
	if slices.ContainsFunc(l.mistakes, func(m mistake) bool { return m.Variable == variable }) {
		return
	}
	l.mistakes = append(l.mistakes, mistake{Variable: variable, Problem: fmt.Sprintf(format, args...)})
}

// parse fills target, a pointer to a struct, from the variables with prefix.
//
// caarlos0/env names the struct's field in its errors, not the variable, and
// stops at the first of some. So the parsers here never return an error: they
// note the mistake under the variable that OnSet named just before.
func (l *loader) parse(target any, prefix string) {
	for _, f := range fieldsOf(reflect.ValueOf(target).Elem(), prefix, "") {
		if f.File {
			l.readFile(f.Name)
		}
	}
	err := env.ParseWithOptions(target, env.Options{
		Environment: l.env,
		Prefix:      prefix,
		OnSet:       func(variable string, _ any, _ bool) { l.current = variable },
		FuncMap: map[reflect.Type]env.ParserFunc{
			reflect.TypeFor[bool]():          parser(l, "true or false", strconv.ParseBool),
			reflect.TypeFor[int]():           parser(l, "a whole number", strconv.Atoi),
			reflect.TypeFor[time.Duration](): parser(l, "a duration such as 500ms, 20s or 5m", parsePositive),
			reflect.TypeFor[list]():          parser(l, "a list separated by commas", parseList),
			reflect.TypeFor[prefixes]():      parser(l, "addresses or networks (CIDR) separated by commas", parsePrefixes),
		},
	})
	if err != nil { // none of its own errors is left, unless a tag is wrong
		l.wrong(strings.TrimSuffix(prefix, "_"), "%v", err)
	}
}

// parser makes a parser for caarlos0/env that notes what it cannot read. The
// value is shown: no secret is of a type that is parsed.
func parser[T any](l *loader, want string, parse func(string) (T, error)) env.ParserFunc {
	return func(value string) (any, error) {
		v, err := parse(value)
		if err != nil {
			var zero T
			l.wrong(l.current, "%q is not %s", value, want)
			return zero, nil //nolint:nilerr // noted: all mistakes are told at once
		}
		return v, nil
	}
}

func parsePositive(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil {
		return 0, err
	}
	if d < 0 {
		return 0, errors.New("negative duration")
	}
	return d, nil
}

func parseList(value string) (list, error) {
	var l list
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			l = append(l, part)
		}
	}
	return l, nil
}

func parsePrefixes(value string) (prefixes, error) {
	parts, err := parseList(value)
	if err != nil {
		return nil, err
	}
	var out prefixes
	for _, part := range parts {
		if addr, err := netip.ParseAddr(part); err == nil {
			out = append(out, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(part)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// fileSuffix is what a variable that names a file ends in.
const fileSuffix = "_FILE"

// readFile puts the content of the file that <variable>_FILE names in the
// variable's place.
func (l *loader) readFile(variable string) {
	path := l.given[variable+fileSuffix]
	if path == "" {
		return
	}
	if l.given[variable] != "" {
		l.wrong(variable, "set twice: also by %s%s", variable, fileSuffix)
		return
	}
	value, err := rotate.ReadFile(path)
	if err != nil {
		l.wrong(variable, "%s%s: %v", variable, fileSuffix, err)
		return
	}
	l.env[variable], l.files[variable] = value, path
}

// file is a setting with the file that it was read from, if it was.
func (s *settings) file(variable, value string) rotate.Setting {
	return rotate.Setting{Variable: variable, Path: s.Files[variable], Value: value}
}

var accountVariable = regexp.MustCompile(`^` + envPrefix + `ACCOUNT_([0-9]+)_`)

// accountNumbers returns the numbers that variables name, in order; if there
// are none and an account is needed, the number 1, so that everything an
// account needs is reported as missing.
func (l *loader) accountNumbers(needs []string) []string {
	var numbers []string
	for variable, value := range l.given {
		m := accountVariable.FindStringSubmatch(variable)
		if m != nil && value != "" && !serviceLink(variable) && !slices.Contains(numbers, m[1]) {
			numbers = append(numbers, m[1])
		}
	}
	slices.SortFunc(numbers, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	if len(numbers) == 0 && slices.ContainsFunc(needs, func(n string) bool { return slices.Contains(allRoles, n) }) {
		numbers = []string{"1"}
	}
	return numbers
}

// kubernetesLink matches what Kubernetes sets in every container for a service
// whose name begins with "bridge" (enableServiceLinks). No setting of ours ends
// like that.
var kubernetesLink = regexp.MustCompile(`^` + envPrefix + `(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

func serviceLink(variable string) bool { return kubernetesLink.MatchString(variable) }

// unread returns a warning for every variable with our prefix that no setting
// reads. It is not an error: a newer chart may set what this release does not
// know yet, and a rollback must start.
func (l *loader) unread(fields []field) []mistake {
	known := make(map[string]bool)
	for _, f := range fields {
		known[f.Name] = true
		if f.File {
			known[f.Name+fileSuffix] = true
		}
	}
	var out []mistake
	for variable, value := range l.given {
		if value == "" || !strings.HasPrefix(variable, envPrefix) || known[variable] || serviceLink(variable) {
			continue
		}
		problem := "no setting has this name"
		if near := nearest(variable, known); near != "" {
			problem += "; did you mean " + near + "?"
		}
		out = append(out, mistake{Variable: variable, Problem: problem})
	}
	slices.SortFunc(out, func(a, b mistake) int { return strings.Compare(a.Variable, b.Variable) })
	return out
}

// nearest returns the known name that at most three edits lead to, or "".
func nearest(name string, known map[string]bool) string {
	best, distance := "", 4
	for k := range known {
		if d := editDistance(name, k); d < distance || d == distance && k < best {
			best, distance = k, d
		}
	}
	return best
}

// editDistance is Levenshtein's: insertions, deletions and replacements.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := diagonal
			if a[i] != b[j] {
				next = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
