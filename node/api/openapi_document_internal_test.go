package api

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

type schema = map[string]any

// document is openapi.yaml.
type document struct{ root schema }

func readDocument(t *testing.T) *document {
	t.Helper()
	d := &document{}
	if err := yaml.Unmarshal(openAPI, &d.root); err != nil {
		t.Fatal(err)
	}
	return d
}

// at returns the object at a path of names.
func (d *document) at(names ...string) schema {
	here := d.root
	for _, name := range names {
		here, _ = here[name].(schema)
	}
	return here
}

// resolve follows references.
func (d *document) resolve(s schema) schema {
	for {
		ref, ok := s["$ref"].(string)
		if !ok {
			return s
		}
		s = d.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
}

// endpoints lists the endpoints of the document below its server, sorted.
func (d *document) endpoints() []string {
	var all []string
	for path, item := range d.at("paths") {
		for method := range item.(schema) {
			if method != "servers" {
				all = append(all, strings.ToUpper(method)+" "+path)
			}
		}
	}
	slices.Sort(all)
	return all
}

// operation returns the operation of an endpoint.
func (d *document) operation(endpoint string) schema {
	method, path, _ := strings.Cut(endpoint, " ")
	return d.at("paths", path, strings.ToLower(method))
}

// content returns the only media type of a request or response, and its schema.
func content(of schema) (string, schema) {
	all, _ := of["content"].(schema)
	for mediaType, c := range all {
		s, _ := c.(schema)["schema"].(schema)
		return mediaType, s
	}
	return "", nil
}

// answer returns what an endpoint answers with when it succeeds.
func (d *document) answer(endpoint string) (string, schema) {
	responses, _ := d.operation(endpoint)["responses"].(schema)
	ok, _ := responses["200"].(schema)
	return content(ok)
}

func TestDocumentHasAllEndpoints(t *testing.T) {
	registered := slices.Collect(maps.Keys(newHandler(nil, Options{}, nil).endpoints()))
	registered = append(registered, "GET /healthz")
	slices.Sort(registered)
	described := readDocument(t).endpoints()
	for _, e := range registered {
		if !slices.Contains(described, e) {
			t.Errorf("openapi.yaml does not describe %s", e)
		}
	}
	for _, e := range described {
		if !slices.Contains(registered, e) {
			t.Errorf("openapi.yaml describes %s, which is not served", e)
		}
	}
}

// TestDocumentIsWhole looks for references to nothing, names used twice, and schemas
// that nothing refers to.
func TestDocumentIsWhole(t *testing.T) {
	d := readDocument(t)
	used := make(map[string]bool)
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case schema:
			if ref, ok := v["$ref"].(string); ok {
				used[ref] = true
				if d.resolve(schema{"$ref": ref}) == nil {
					t.Errorf("%s refers to nothing", ref)
				}
			}
			for _, member := range v {
				walk(member)
			}
		case []any:
			for _, member := range v {
				walk(member)
			}
		}
	}
	walk(d.root)
	for _, kind := range []string{"schemas", "parameters", "responses"} {
		for name := range d.at("components", kind) {
			if ref := "#/components/" + kind + "/" + name; !used[ref] {
				t.Errorf("nothing refers to %s", ref)
			}
		}
	}
	ids := make(map[string]string)
	for _, e := range d.endpoints() {
		op := d.operation(e)
		id, _ := op["operationId"].(string)
		if other, twice := ids[id]; id == "" || twice {
			t.Errorf("%s: operationId %q is empty or that of %s", e, id, other)
		}
		ids[id] = e
		if op["summary"] == nil || op["tags"] == nil {
			t.Errorf("%s: no summary or no tags", e)
		}
		responses, _ := op["responses"].(schema)
		if _, ok := responses["default"].(schema); !ok {
			t.Errorf("%s: says nothing of errors", e)
		}
	}
}

func TestDocumentHasAllTypes(t *testing.T) {
	d := readDocument(t)
	c := &comparison{t: t, doc: d, done: make(map[reflect.Type]bool)}
	for endpoint := range newHandler(nil, Options{}, nil).endpoints() {
		w, ok := wire[endpoint]
		if !ok {
			t.Errorf("%s is not in the table wire of this test", endpoint)
			continue
		}
		if w.body != nil {
			request, _ := d.operation(endpoint)["requestBody"].(schema)
			mediaType, s := content(request)
			if mediaType != "application/json" {
				t.Errorf("%s: the body is %q", endpoint, mediaType)
			}
			c.compare(endpoint+" body", s, w.body, false)
			if w.body != typeOf[ibGib]() && d.resolve(s)["additionalProperties"] != false {
				t.Errorf("%s: unknown members of the body are refused, which the schema does not say", endpoint)
			}
		}
		mediaType, s := d.answer(endpoint)
		if w.answer != nil {
			if want := "application/json"; mediaType != want && endpoint != "GET /events" {
				t.Errorf("%s: the answer is %q, want %q", endpoint, mediaType, want)
			}
			c.compare(endpoint, s, w.answer, false)
		}
		if w.result != nil {
			if mediaType != "application/x-ndjson" {
				t.Errorf("%s: the answer is %q", endpoint, mediaType)
			}
			c.line(endpoint, s, w)
		}
	}
	c.compare("error", d.at("components", "schemas", "Failure", "properties", "error"), typeOf[Error](), false)
	_, health := d.answer("GET /healthz")
	c.compare("healthz", health, typeOf[Health](), false)
}

// line compares the schema of a line of a stream.
func (c *comparison) line(at string, s schema, w spoken) {
	c.t.Helper()
	if anyOf, ok := s["anyOf"].([]any); ok { // or an ibGib, of an export
		s = anyOf[1].(schema)
	}
	properties, _ := s["properties"].(schema)
	for name, typ := range map[string]reflect.Type{
		"item": w.item, "progress": w.progress, "result": w.result, "error": typeOf[Error](),
	} {
		p, ok := properties[name].(schema)
		if ok != (typ != nil) {
			c.t.Errorf("%s: lines with %s in the schema: %t", at, name, ok)
		}
		if !ok || typ == nil {
			continue
		}
		if anyOf, ok := p["anyOf"].([]any); ok {
			c.compare(at+" "+name, anyOf[0].(schema), w.also, false)
			p = anyOf[1].(schema)
		}
		c.compare(at+" "+name, p, typ, false)
	}
}

func TestDocumentHasAllCodes(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	client := []Code{CodeNoDaemon, CodeBrokenStream} // are never sent
	want := make(map[string]int)
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			text, _ := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if code := Code(text); !slices.Contains(client, code) {
				want[text] = code.status()
			}
		}
		return true
	})
	got := make(map[string]int)
	for _, one := range readDocument(t).at("components", "schemas", "Code")["oneOf"].([]any) {
		status, _, _ := strings.Cut(one.(schema)["description"].(string), ";")
		got[one.(schema)["const"].(string)], _ = strconv.Atoi(status)
	}
	if !maps.Equal(got, want) {
		t.Errorf("codes with status\n%v, want\n%v", got, want)
	}
}
