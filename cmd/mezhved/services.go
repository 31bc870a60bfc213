package main

// servicesCmd is what is done with the services folder; each command stands in a
// file of its own.
type servicesCmd struct {
	List servicesListCmd `cmd:"" help:"List services and versions."`
	Lint servicesLintCmd `cmd:"" help:"Name every problem of the folders at once, with file and line."`

	Import servicesImportCmd `cmd:"" help:"Make a service's folder of a registration package: schemas, samples, scenarios."`
}
