// Package services holds the demonstration services: schemas, registrations and
// samples of our own, as an operator would lay them in a gateway's services
// folder. The demo serves them, the tests and benchmarks use them.
package services

import "embed"

// FS has one folder per service and version, as adapter.OpenRegistry reads them.
//
//go:embed advertising-permit bus-notice egrn-extract egrul-extract family-benefits register-notice urgent-check
var FS embed.FS
