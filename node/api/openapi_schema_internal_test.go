package api

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// check returns what is wrong with a JSON value by a schema. It knows what openapi.yaml
// uses, and takes no member that the schema does not list.
func (d *document) check(at string, s schema, v any) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, at+": "+fmt.Sprintf(format, args...)) }
	s = d.resolve(s)
	if anyOf, ok := s["anyOf"].([]any); ok {
		for _, one := range anyOf {
			found := d.check(at, one.(schema), v)
			if len(found) == 0 {
				return nil
			}
			wrong = append(wrong, found...)
		}
		return wrong
	}
	if s["type"] == nil {
		return nil // any JSON
	}
	types := asStrings(s["type"])
	if one, ok := s["type"].(string); ok {
		types = []string{one}
	}
	if kind := jsonKind(v); !slices.Contains(types, kind) && (kind != "integer" || !slices.Contains(types, "number")) {
		say("is %s, want %v", kind, types)
		return wrong
	}
	switch v := v.(type) {
	case string:
		if one, ok := s["oneOf"].([]any); ok && !slices.ContainsFunc(one, func(c any) bool { return c.(schema)["const"] == v }) {
			say("%q is not among %v", v, one)
		}
		if list := asStrings(s["enum"]); list != nil && !slices.Contains(list, v) {
			say("%q is not among %q", v, list)
		}
		if _, err := time.Parse(time.RFC3339Nano, v); s["format"] == "date-time" && err != nil {
			say("%v", err)
		}
	case float64:
		if least, ok := s["minimum"].(int); ok && v < float64(least) {
			say("%v is less than %d", v, least)
		}
	case []any:
		for i, item := range v {
			wrong = append(wrong, d.check(fmt.Sprintf("%s[%d]", at, i), s["items"].(schema), item)...)
		}
	case schema:
		for _, name := range asStrings(s["required"]) {
			if _, ok := v[name]; !ok {
				say("%s is not there", name)
			}
		}
		properties, _ := s["properties"].(schema)
		for name, member := range v {
			of, ok := properties[name].(schema)
			if !ok {
				of, ok = s["additionalProperties"].(schema)
			}
			if !ok {
				say("has %s, which the schema does not list", name)
				continue
			}
			wrong = append(wrong, d.check(at+"."+name, of, member)...)
		}
		if least, ok := s["minProperties"].(int); ok && len(v) < least {
			say("is empty")
		}
		if most, ok := s["maxProperties"].(int); ok && len(v) > most {
			say("has %d members, at most %d", len(v), most)
		}
	}
	return wrong
}

func jsonKind(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case float64:
		if v == math.Trunc(v) {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	default:
		return "object"
	}
}
