package ibgibnode_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/ibgib/ibgib-node"

// layers says which top-level folders the packages of each may import.
func layers() map[string][]string {
	return map[string][]string{
		"ibgib":      {},
		"timeline":   {"ibgib"},
		"keystone":   {"ibgib"},
		"blockstore": {"ibgib", "timeline"},
		"saga":       {"ibgib", "timeline", "keystone"},
		"protocol":   {"ibgib", "timeline", "keystone", "saga"},
		"dht":        {"ibgib"},
		"node":       {"ibgib", "timeline", "keystone", "blockstore", "saga", "protocol", "dht"},
		"cmd":        {"ibgib", "timeline", "keystone", "blockstore", "saga", "protocol", "dht", "node"},
		"scripts":    {"ibgib", "timeline", "keystone", "blockstore", "saga", "protocol", "dht", "node"},
	}
}

// source is one file of the module that is no test.
type source struct {
	name  string // slash-separated, from the root
	layer string // its top-level folder, "" for the root
	file  *ast.File
	fset  *token.FileSet
}

func (s source) imports() []string {
	var list []string
	for _, spec := range s.file.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		list = append(list, p)
	}
	return list
}

// sources parses every Go file of the module that is no test.
func sources(t *testing.T) []source {
	t.Helper()
	var list []source
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() {
			if name != "." && (strings.HasPrefix(base, ".") || base == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go") {
			return nil
		}
		s := source{name: filepath.ToSlash(name), fset: token.NewFileSet()}
		if top, _, ok := strings.Cut(s.name, "/"); ok {
			s.layer = top
		}
		s.file, err = parser.ParseFile(s.fset, name, nil, parser.SkipObjectResolution|parser.ParseComments)
		list = append(list, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestImportsRunOneWay(t *testing.T) {
	allowed := layers()
	for _, s := range sources(t) {
		may, known := allowed[s.layer]
		if !known {
			t.Errorf("%s: folder %q has no place in the layers", s.name, s.layer)
			continue
		}
		for _, imported := range s.imports() {
			inside, ok := strings.CutPrefix(imported, module+"/")
			if !ok {
				continue
			}
			top, _, _ := strings.Cut(inside, "/")
			if top != s.layer && !slices.Contains(may, top) {
				t.Errorf("%s imports %s", s.name, imported)
			}
		}
	}
}

// impure are the standard packages that a pure package does without, each with
// what lies below it.
func impure() []string {
	return []string{"net", "os", "context", "log", "math/rand", "crypto/rand", "sync", "io/ioutil", "syscall", "testing"}
}

// clocks are the functions of package time that read a clock or wait for one.
func clocks() []string {
	return []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}
}

func TestPurePackages(t *testing.T) {
	for _, s := range sources(t) {
		switch {
		case s.layer == "ibgib", s.layer == "timeline", s.layer == "keystone":
		case path.Dir(s.name) == "node/internal/scheduler", path.Dir(s.name) == "node/internal/gather":
		default:
			continue
		}
		for _, imported := range s.imports() {
			for _, bad := range impure() {
				if imported == bad || strings.HasPrefix(imported, bad+"/") {
					t.Errorf("%s imports %s", s.name, imported)
				}
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s starts a goroutine", s.fset.Position(n.Pos()))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clocks(), n.Sel.Name) {
					t.Errorf("%s uses time.%s", s.fset.Position(n.Pos()), n.Sel.Name)
				}
			}
			return true
		})
	}
}

// The saga package has a driver with a context, but neither network nor disk
// nor log of its own.
func TestSagaSeesTheWorldThroughItsSeams(t *testing.T) {
	for _, s := range sources(t) {
		if s.layer != "saga" {
			continue
		}
		for _, imported := range s.imports() {
			for _, bad := range []string{"net", "os", "log", "math/rand", "crypto/rand", "github.com/libp2p", "github.com/dgraph-io"} {
				if imported == bad || strings.HasPrefix(imported, bad+"/") {
					t.Errorf("%s imports %s", s.name, imported)
				}
			}
		}
	}
}

// A package says what it does in doc.go; one that is nested under its only
// user may say it in its one file.
func TestEveryPackageIsDocumented(t *testing.T) {
	documented := make(map[string]bool)
	for _, s := range sources(t) {
		dir := path.Dir(s.name)
		nested := strings.Count(dir, "/") > 0 && s.layer != "cmd"
		ok := s.file.Doc != nil && (nested || path.Base(s.name) == "doc.go")
		documented[dir] = documented[dir] || ok || strings.HasSuffix(s.name, ".pb.go")
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s has no package comment in doc.go", dir)
		}
	}
}
