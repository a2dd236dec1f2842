package api

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/ibgib/ibgib-node/ibgib"
)

// member is a member of the JSON object that a struct becomes.
type member struct {
	name     string
	typ      reflect.Type
	required bool
}

// membersOf lists the members of the JSON form of a struct.
func membersOf(t reflect.Type) []member {
	var all []member
	for _, f := range reflect.VisibleFields(t) {
		tag, tagged := f.Tag.Lookup("json")
		if !f.IsExported() || tag == "-" || f.Anonymous && !tagged {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if name == "" {
			name = f.Name
		}
		all = append(all, member{name, f.Type, !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero")})
	}
	return all
}

// schemaName is the name of the schema of a struct.
func schemaName(t reflect.Type) string {
	name := []rune(t.Name())
	return string(unicode.ToUpper(name[0])) + string(name[1:])
}

// opaque are types whose JSON may be anything.
func opaque(t reflect.Type) bool {
	return t == typeOf[json.RawMessage]() || t == typeOf[ibgib.Value]()
}

// isText tells whether the JSON form of a type is a string.
func isText(t reflect.Type) bool {
	return t.Kind() == reflect.String || t == typeOf[time.Time]() || t.Implements(typeOf[encoding.TextMarshaler]()) ||
		t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
}

// kindOf is the type that a schema gives to the JSON form of a Go type.
func kindOf(t reflect.Type) string {
	switch {
	case isText(t):
		return "string"
	case t.Kind() == reflect.Bool:
		return "boolean"
	case t.Kind() == reflect.Float64:
		return "number"
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Array:
		return "array"
	case t.Kind() == reflect.Struct || t.Kind() == reflect.Map:
		return "object"
	default:
		return "integer"
	}
}

// comparison holds Go types against schemas.
type comparison struct {
	t    *testing.T
	doc  *document
	done map[reflect.Type]bool
}

// compare checks that schema describes the JSON form of typ, and whether it may be null.
func (c *comparison) compare(at string, s schema, typ reflect.Type, null bool) {
	c.t.Helper()
	if s == nil {
		c.t.Errorf("%s: no schema", at)
		return
	}
	if typ.Kind() == reflect.Pointer {
		c.compare(at, s, typ.Elem(), null)
		return
	}
	if opaque(typ) {
		if s["type"] != nil || s["$ref"] != nil {
			c.t.Errorf("%s: may be any JSON, but the schema names a type", at)
		}
		return
	}
	if anyOf, ok := s["anyOf"].([]any); ok && null { // of a reference and null
		if len(anyOf) != 2 || anyOf[1].(schema)["type"] != "null" {
			c.t.Errorf("%s: it may be null, the schema says %v", at, anyOf)
			return
		}
		s, null = anyOf[0].(schema), false
	}
	if typ.Kind() == reflect.Struct && !isText(typ) {
		if want := "#/components/schemas/" + schemaName(typ); s["$ref"] != want {
			c.t.Errorf("%s: the schema is %v, want a reference to %s", at, s["$ref"], want)
			return
		}
	}
	s = c.doc.resolve(s)
	kind := kindOf(typ)
	if types, ok := s["type"].([]any); null && (!ok || !slices.Equal(types, []any{kind, "null"})) || !null && s["type"] != kind {
		c.t.Errorf("%s: type %v, want %s (null: %t)", at, s["type"], kind, null)
		return
	}
	switch {
	case kind == "array":
		items, _ := s["items"].(schema)
		c.compare(at+"[]", items, typ.Elem(), false)
	case typ.Kind() == reflect.Map:
		items, _ := s["additionalProperties"].(schema)
		c.compare(at+"{}", items, typ.Elem(), false)
	case kind == "object" && !c.done[typ]:
		c.done[typ] = true
		c.members(schemaName(typ), s, typ)
	}
}

func (c *comparison) members(at string, s schema, typ reflect.Type) {
	c.t.Helper()
	properties, _ := s["properties"].(schema)
	var required []string
	for _, name := range asStrings(s["required"]) {
		required = append(required, name)
		if properties[name] == nil {
			c.t.Errorf("%s: requires %s, which is no property", at, name)
		}
	}
	members := membersOf(typ)
	for _, m := range members {
		p, ok := properties[m.name].(schema)
		if !ok {
			c.t.Errorf("%s: does not list %s", at, m.name)
			continue
		}
		if slices.Contains(required, m.name) != m.required {
			c.t.Errorf("%s.%s: required must be %t", at, m.name, m.required)
		}
		c.compare(at+"."+m.name, p, m.typ, m.required && m.typ.Kind() == reflect.Pointer)
	}
	for name := range properties {
		if !slices.ContainsFunc(members, func(m member) bool { return m.name == name }) {
			c.t.Errorf("%s: lists %s, which the Go type has not", at, name)
		}
	}
}

func asStrings(v any) (all []string) {
	list, _ := v.([]any)
	for _, s := range list {
		text, _ := s.(string)
		all = append(all, text)
	}
	return all
}
