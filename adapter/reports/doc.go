// Package reports answers questions over the journal with tables: how services and
// bodies work, what is late, whose fault refusals are, how bodies rate. Its way in is
// Make: a question and a log, and a Report comes out. Everybody may enter; the room
// knows no clock, no database and no network, and what it is given is the log as
// https://c2sp.org/tlog-tiles has it. So the gateway and the auditor count with the
// same code over the same bytes, and their reports of one question and one size of
// the log are equal, byte for byte in JSON. Forms to read and take away are made next
// door, in adapter/reports/paper.
//
// # What is counted
//
// A Fold reads entries in the order of the log and needs nothing but what stands in
// clear in the leaves: no opening, no key. An exchange is a request, known by its
// MessageID on all entries, from "accepted" until "answered"; "expired" or "dead" ends
// it too. An event belongs to the time at which it happened, and to none earlier than
// a day (Slack) before the log took it up. A period is half open, and its book is
// closed a day after its end: entries that were logged later are not read. So what a
// report says of a past period does not change any more.
//
// A request is due when its term ends. It counts as late in the period in which that
// moment lies, whether it was answered after it or not at all: who is late is known at
// the end of a period, and each request counts in one period. A report "as of" a
// moment within its period ends there.
//
// Messages that are marked as tests are left out, unless they are asked for.
//
// # Where reading begins
//
// A Standing is what a Fold needs to know of the log up to an entry: which requests are
// open there, and what was reached in time whose term ends later. Make begins behind the
// last one that lies before its period, if it is given standings, and its report is that
// from entry 0, byte for byte. So a report costs what its period costs, and at most a
// million entries more. Standings are made of the log (Stand) and can be made again of it;
// the auditor uses none.
//
// # Memory
//
// A Fold holds one record of fixed size for each open request (some 150 bytes with its
// place in the table), and forgets it when it is answered; beside them, for the period
// that is asked for, one cell for each service, version, sender and provider that
// stand together, and numbers by day. How many there may be is bounded (MostOpen,
// MostCells): beyond that there is an error and no report. Times of stages go into
// histograms (Histogram), which are exact up to 256 ms and within 0.8 % above it, and
// always the same for the same entries.
//
// # Numbers
//
// All arithmetic is of integers: counts, milliseconds, hundredths of a percent. Shares
// are rounded half up.
package reports
