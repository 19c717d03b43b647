package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// property is a test that draws cases.
type property struct {
	pkg, dir, test string
	binary         string // the compiled tests of its package

	checks int // cases of its next run; 0: as many as the test draws by itself
	least  int // as many as the test draws by itself: fewer may hold no case that it speaks of
	passed int // cases that have passed
	used   time.Duration
}

// name is how people call it.
func (p *property) name() string { return p.pkg + " " + p.test }

// listed is a package as `go list` tells it.
type listed struct {
	ImportPath, Dir           string
	TestGoFiles, XTestGoFiles []string
}

// compiled gives the property tests of the module, ready to run.
func compiled(ctx context.Context, into string, only *regexp.Regexp) ([]*property, error) {
	root, err := render.Root()
	if err != nil {
		return nil, err
	}
	packages, err := packages(ctx, root)
	if err != nil {
		return nil, err
	}
	var found []*property
	for i, p := range packages {
		tests, err := drawing(p)
		if err != nil {
			return nil, err
		}
		tests = slices.DeleteFunc(tests, func(test string) bool { return !only.MatchString(test) })
		if len(tests) == 0 {
			continue
		}
		binary := filepath.Join(into, fmt.Sprintf("%d.test", i))
		fmt.Printf("compiling the tests of %s\n", p.ImportPath)
		if err := compile(ctx, p.Dir, binary); err != nil {
			return nil, err
		}
		for _, test := range tests {
			found = append(found, &property{pkg: p.ImportPath, dir: p.Dir, test: test, binary: binary})
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no property test has a name like %q: choose another --only", only)
	}
	return found, nil
}

// packages lists the packages of the module at root.
func packages(ctx context.Context, root string) ([]listed, error) {
	list := exec.CommandContext(ctx, "go", "list", "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles", "./...")
	list.Dir = root
	output, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list the packages of %s: %w", root, err)
	}
	var all []listed
	decoder := json.NewDecoder(strings.NewReader(string(output)))
	for {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("read the list of packages: %w", err)
		}
		all = append(all, p)
	}
}

func compile(ctx context.Context, dir, binary string) error {
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, ".")
	build.Dir = dir
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("compile the tests of %s: %w\n%s", dir, err, output)
	}
	return nil
}

// drawing names the tests of a package that draw cases: those that call rapid.Check,
// or a function of the package's tests that does.
func drawing(p listed) ([]string, error) {
	calls := map[string][]string{} // by function: what it calls
	for _, file := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("read the tests of %s: %w", p.ImportPath, err)
		}
		for _, declaration := range parsed.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil {
				calls[f.Name.Name] = append(calls[f.Name.Name], callsOf(f)...)
			}
		}
	}
	var tests []string
	for name := range calls {
		if strings.HasPrefix(name, "Test") && draws(name, calls, map[string]bool{}) {
			tests = append(tests, name)
		}
	}
	slices.Sort(tests)
	return tests, nil
}

// callsOf names the functions that a function calls, with their package if it is another.
func callsOf(f *ast.FuncDecl) (names []string) {
	ast.Inspect(f, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok {
			return true
		}
		switch called := call.Fun.(type) {
		case *ast.Ident:
			names = append(names, called.Name)
		case *ast.SelectorExpr:
			if pkg, ok := called.X.(*ast.Ident); ok {
				names = append(names, pkg.Name+"."+called.Sel.Name)
			}
		}
		return true
	})
	return names
}

// draws says whether a function calls rapid.Check, itself or through others.
func draws(name string, calls map[string][]string, seen map[string]bool) bool {
	seen[name] = true
	return slices.ContainsFunc(calls[name], func(called string) bool {
		return called == "rapid.Check" || called == "rapid.MakeCheck" || !seen[called] && draws(called, calls, seen)
	})
}
