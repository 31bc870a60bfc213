// Package parcel reads the registration packages that offices exchange, zips with
// schemas (XSDShemas_*.zip) and sample messages (SampleMessages_*.zip), and makes a
// service's folder of them: schemas, service.yaml, samples, and scenarios that answer
// each sample request with its own sample answer. What it has understood, how, and what
// is left to do, it says.
//
// Whoever has such a package may enter. It trusts nothing in it: names lead nowhere
// outside, sizes are bounded, XML goes through the gate, and samples are held against
// the schemas. What it makes is a draft for a person to look at, and nothing that is
// there already is touched.
package parcel
