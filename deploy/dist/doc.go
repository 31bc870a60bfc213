// Command dist makes what is installed of Mezhved: static programs, packages for
// Debian's and Red Hat's families, and a container image, each with its bill of
// materials. "make dist" calls it; docs/install.md tells what to do with the result.
//
// The same commit makes the same bytes, in any folder and at any time: every time in
// the files is the commit's, every list is sorted, no path and no host name goes in.
// .ci/reproducible makes everything twice and compares.
//
// It is a module of its own, because what writes packages and images brings many
// modules along that the gateway has no use for. It imports nothing of the gateway:
// it runs the go command, and then the program for its own pages.
package main
