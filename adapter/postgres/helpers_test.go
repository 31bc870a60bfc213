package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"

	"mezhved/adapter"
)

func random(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// difference names the first field in which two messages differ.
func difference(got, want *adapter.Message) string {
	g, w := reflect.ValueOf(*got), reflect.ValueOf(*want)
	for i := range g.NumField() {
		if !reflect.DeepEqual(g.Field(i).Interface(), w.Field(i).Interface()) {
			return fmt.Sprintf("%s is %.200v, want %.200v", g.Type().Field(i).Name, g.Field(i), w.Field(i))
		}
	}
	return ""
}
