package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"mezhved/adapter/registry"
)

// printJSON prints one value as indented JSON, Cyrillic as it is.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// table prints rows in aligned columns; the first row is the header.
func table(w io.Writer, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(tw, "\t")
			}
			fmt.Fprint(tw, cell)
		}
		fmt.Fprintln(tw)
	}
	return tw.Flush()
}

// many is a number with its noun: 1 entry, 2 entries.
func many[N int | int64](n N, one, more string) string {
	if n != 1 {
		one = more
	}
	return fmt.Sprintf("%d %s", n, one)
}

// registered tells how many services, in all their versions, and parties there are.
func registered(c *registry.Catalog) string {
	return many(len(c.Services()), "service version", "service versions") + ", " + many(len(c.Parties()), "party", "parties")
}
