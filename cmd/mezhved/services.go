package main

// servicesCmd is what is done with the services folder; each command stands in a
// file of its own.
type servicesCmd struct {
	List       servicesListCmd       `cmd:"" help:"List services and versions."`
	Lint       servicesLintCmd       `cmd:"" help:"Name every problem of the folders at once, with file and line."`
	Test       servicesTestCmd       `cmd:"" help:"Try samples, reference messages and scenarios through a whole gateway, and write the test protocol."`
	Protocol   servicesProtocolCmd   `cmd:"" help:"Show, sign and verify the test protocol of a version."`
	Passport   servicesPassportCmd   `cmd:"" help:"Write the page of each version: for integrators, and for the call centre."`
	Impact     servicesImpactCmd     `cmd:"" help:"Hold real messages against a version that is not in use yet: whom it would refuse, where and by which rule."`
	Register   servicesRegisterCmd   `cmd:"" help:"Hold services against the register of kinds of data."`
	Dictionary servicesDictionaryCmd `cmd:"" help:"Import and list dictionaries of codes."`
	Sunset     servicesSunsetCmd     `cmd:"" help:"Say who still calls versions that come to their end, and tell all subscribers."`
	Publish    servicesPublishCmd    `cmd:"" help:"Set a version's stage to published, if its protocol allows it."`
	Import     servicesImportCmd     `cmd:"" help:"Make a service's folder of a registration package: schemas, samples, scenarios."`
}
