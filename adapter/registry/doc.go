// Package registry is the services and parties of a bus, as folders of files that
// people write and keep: which service and version a root element is of, who provides
// it, who may call it and by which certificate he is known, where its requests go, what
// its content must be, by when it is due, and in which stage of its life it is.
//
// A Registry reads both folders and puts a new Catalog in force as a whole, or says what
// is wrong and leaves the old one there (Reload). Lint reads them as well and looks at
// the samples too, for people. A Catalog does not change: a call sees one from its first
// check to its last. The gateway asks it questions and nothing else; it knows neither
// messages nor queues, and keeps nothing over a crash but the files, which are not its own.
//
//	registry.go  what can be asked
//	files.go     folders, parties, services, schemas; all mistakes at once
//	subject.go   whom messages are about, and on what ground they ask
//	terms.go     legal time: terms of services and parties, calendars
//	quality.go   what is promised of a service
//	dictionary.go  what must be a code of a dictionary
//	probe.go     how a service is watched
//	sketch.go    a version's schema, to be tried elsewhere
//	samples.go   documents that show what is taken and what is refused
//	gate.go      what a version needs before it is published (package lifecycle/protocol)
//	conformance.go what a party must have proved before it is let in (lifecycle/conform)
package registry
