// Package reference reads what others keep and services lean on: dictionaries of codes
// (regions, kinds of documents, as ЕСНСИ hands them out) and the register of kinds of data.
// Both come as CSV or XML of any layout, are brought into a form of our own once (Import,
// ImportRegister), and lie in the services' folder as files with a version:
//
//	_dictionaries/<name>/<version>.csv    code,title,from,to
//	_register/<version>.csv               code,title,namespace,version,provider,status,from,to
//
// Who may enter: the registry, which holds content against dictionaries when a message is
// admitted, and the commands that import and check. The room knows no clock and keeps no
// state: what it is given are bytes, what it gives are rows and everything that is wrong
// with them, each with its line.
//
// # Limits
//
// A dictionary has MostRows rows at most: beyond that a code is to be asked of a service.
// A code stands once; its dates, if it has any, say from which day until which day it is
// used, both included.
package reference
