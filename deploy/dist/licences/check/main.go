// Command check holds the licences of all modules that the project uses, in programs
// and in tests, against the policy. "make licences" calls it.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"mezhved/deploy/dist/licences"
)

func main() {
	root := flag.String("root", "../..", "folder of the sources")
	flag.Parse()
	bad := 0
	count := map[string]int{}
	seen := map[string]bool{}
	look := func(allowed []string, tests bool, packages string) {
		modules, err := licences.Used(*root, nil, tests, packages)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		for _, m := range modules {
			if seen[m.Path] {
				continue
			}
			seen[m.Path] = true
			if err := m.Bad(allowed); err != nil {
				fmt.Fprintln(os.Stderr, err)
				bad++
			}
			count[strings.Join(m.Licences, " AND ")]++
		}
	}
	look(licences.Allowed, false, "./cmd/...")
	look(licences.AllowedInTests, true, "./...")
	if bad > 0 {
		os.Exit(1)
	}
	fmt.Printf("licences of %d modules: %v\n", len(seen), count)
}
