package ibgib_test

import (
	"errors"
	"fmt"

	"github.com/ibgib/ibgib-node/ibgib"
)

func ExampleGib() {
	g, err := ibgib.Gib([]byte(`{ "ib": "x", "data": { "b": 1.0, "a": [] } }`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(g.Stored()[:8]), g.Data())
	// Output: {"ib":"x {"a":[],"b":1}
}

func ExampleVerify_refused() {
	_, err := ibgib.Verify([]byte(`{"ib":"x","gib":"gib","data":1}`))
	var r *ibgib.Refusal
	if errors.As(err, &r) {
		fmt.Println(r.Addr, r.Rule)
	}
	// Output: x^gib primitive-payload
}

func ExampleNew() {
	ancestor, err := ibgib.ParseAddr("comment^gib")
	if err != nil {
		fmt.Println(err)
		return
	}
	g, err := ibgib.New("comment hello",
		ibgib.Object(ibgib.Member{Name: "text", Value: ibgib.String("hello")}),
		ibgib.Rel8ns{{Name: "ancestor", Addrs: []ibgib.Addr{ancestor}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := g.Field("text")
	for name, a := range g.Links() {
		fmt.Println(text.Str(), name, a)
	}
	// Output: hello ancestor comment^gib
}
