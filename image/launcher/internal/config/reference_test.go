package config_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
)

// source reads a file of the package; config.go holds the package comment.
func source(t *testing.T, name string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
	require.NoError(t, err)
	return file
}

// documented gives the variables that the package comment lists.
func documented(t *testing.T) []string {
	t.Helper()
	var names []string
	for line := range strings.Lines(source(t, "config.go").Doc.Text()) {
		if strings.HasPrefix(line, "\t") {
			line, _, _ = strings.Cut(strings.TrimPrefix(line, "\t"), "  ")
			names = append(names, regexp.MustCompile(`\b[A-Z]+(_[A-Z][A-Z0-9]*)+\b|\bSENTINEL\b`).FindAllString(line, -1)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// named gives the variables that the package's code reads, and those that it
// knows by the list in init.
func named(t *testing.T) (read, known []string) {
	t.Helper()
	variable := regexp.MustCompile(`^"((SENTINEL)|(REDIS|POD|LAUNCHER)(_[A-Z][A-Z0-9]*)+)"$`)
	for _, declaration := range slices.Concat(source(t, "config.go").Decls, source(t, "backup.go").Decls, source(t, "external.go").Decls, source(t, "tls.go").Decls, source(t, "password.go").Decls) {
		function, ok := declaration.(*ast.FuncDecl)
		ast.Inspect(declaration, func(n ast.Node) bool {
			literal, isLiteral := n.(*ast.BasicLit)
			switch {
			case !isLiteral:
			case ok && function.Name.Name == "init" && literal.Value != `"LAUNCHER_"`:
				known = append(known, "LAUNCHER_"+strings.Trim(literal.Value, `"`))
			case variable.MatchString(literal.Value):
				read = append(read, strings.Trim(literal.Value, `"`))
			}
			return true
		})
	}
	slices.Sort(read)
	slices.Sort(known)
	return slices.Compact(read), known
}

func TestPackageCommentListsExactlyTheVariablesThatAreRead(t *testing.T) {
	read, known := named(t)
	require.Equal(t, read, documented(t))
	require.Equal(t, known, slices.DeleteFunc(read, func(name string) bool { return !strings.HasPrefix(name, "LAUNCHER_") }))
}

func TestEveryDocumentedVariableIsKnown(t *testing.T) {
	launcher := 0
	for _, name := range documented(t) {
		if !strings.HasPrefix(name, "LAUNCHER_") {
			continue
		}
		launcher++
		_, err := config.FromEnviron([]string{name + "="})
		require.NotContains(t, err.Error(), name+" is not a variable")
	}
	require.Greater(t, launcher, 20)
}
