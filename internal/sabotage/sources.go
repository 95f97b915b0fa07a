package sabotage

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// CrashPoints reads the sources of the package in dir, without its tests, and
// gives the names of their crash points: comments that say `Crash point "name"`.
// It is an error when a function takes a step outside and no crash point stands
// in it: a call of a method of a Kafka client (an expression whose last name is
// one of clients) that is not one of local, a request sent through RequestWith,
// or whatever call names as steps ("account.Read").
func CrashPoints(dir string, clients, local, steps []string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, fmt.Errorf("find sources: %w", err)
	}
	points := make(map[string]bool)
	var unmarked []error
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		src, err := os.ReadFile(path) //nolint:gosec // a test reads its own package
		if err != nil {
			return nil, fmt.Errorf("read source: %w", err)
		}
		s := &source{fset: token.NewFileSet(), clients: clients, local: local, steps: steps}
		if s.file, err = parser.ParseFile(s.fset, path, src, parser.ParseComments); err != nil {
			return nil, fmt.Errorf("parse source: %w", err)
		}
		for _, name := range s.points(s.file.Pos(), s.file.End()) {
			points[name] = true
		}
		unmarked = append(unmarked, s.unmarked()...)
	}
	return slices.Sorted(maps.Keys(points)), errors.Join(unmarked...)
}

// source is one file.
type source struct {
	fset                  *token.FileSet
	file                  *ast.File
	clients, local, steps []string
}

var crashPoint = regexp.MustCompile(`Crash\s+point\s+"([^"]+)"`)

// points are the crash points between two places.
func (s *source) points(from, to token.Pos) []string {
	var names []string
	for _, group := range s.file.Comments {
		if group.Pos() < from || group.End() > to {
			continue
		}
		for _, m := range crashPoint.FindAllStringSubmatch(group.Text(), -1) {
			names = append(names, m[1])
		}
	}
	return names
}

// unmarked are the outside steps in functions without a crash point.
func (s *source) unmarked() []error {
	var found []error
	for _, decl := range s.file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		from := f.Pos()
		if f.Doc != nil {
			from = f.Doc.Pos()
		}
		if len(s.points(from, f.End())) > 0 {
			continue
		}
		ast.Inspect(f.Body, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if step := s.outside(call); step != "" {
					found = append(found, fmt.Errorf("%s: %s is an outside step of %s, which names no crash point",
						s.fset.Position(call.Pos()), step, f.Name.Name))
				}
			}
			return true
		})
	}
	return found
}

// outside names the outside step that a call is, "" for none.
func (s *source) outside(call *ast.CallExpr) string {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	receiver, name := last(method.X), method.Sel.Name
	step := receiver + "." + name
	if slices.Contains(s.clients, receiver) && !slices.Contains(s.local, name) ||
		name == "RequestWith" || name == "RetriableRequest" || slices.Contains(s.steps, step) {
		return step
	}
	return ""
}

// last is the last name of an expression: client of w.client, groupClient of
// p.groupClient().
func last(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return x.Sel.Name
	case *ast.CallExpr:
		return last(x.Fun)
	}
	return ""
}
