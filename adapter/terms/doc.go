// Package terms is legal time: terms in working days, calendar days and hours,
// production calendars, and the moments at which a message is due. It is pure: it
// has no clock, reads no file but its own shipped calendars, and is safe for
// concurrent use. The gateway enters it to count; whoever reports over a log enters
// it to count again, offline.
//
// # Terms
//
// A Term is written 5wd (working days), 30d (calendar days), or as a length of time:
// 48h, 15m, 1.5d. By the Civil Code, articles 191 to 194, a term in days begins the
// day after the event and ends at 24:00 of its last day, in a zone; a calendar
// term whose last day is off ends with the next working day. A term in hours runs
// from the event itself, through days off too.
//
// A Rule says what its term counts from (Start): the acceptance, the first delivery
// to the recipient, or the next working day, with whose beginning the term then
// begins: hours run from 0:00 of it, days count it as the first.
//
// # Stages
//
// A request has four stages: it is in its recipient's queue (StageQueued), the
// recipient has taken it (StageTaken), the first word of the recipient is here
// (StageStatus; a final answer is one), it is answered (StageAnswered). A message
// that answers has the first two. Each stage may have a rule (Rules); where service,
// provider and pair of both have rules the earliest moment counts (Count), whatever
// the rules look like.
//
// Due has the moments. What counts from a delivery has none at acceptance: it is a
// Later, whose text stands in the log, so that acceptance, delivery and calendar
// prove the moment (Later.Due).
//
// An end of life (EOL) is no term: it is when nobody needs the answer any more, and
// what is not delivered by then is taken out. A term says when somebody is late.
//
// # Calendars
//
// A Calendar knows years. Shipped has 2024 to 2027; files of the same form replace
// and add years (ParseYear, Calendar.With). In a year that it does not know it goes
// by the weekends and the holidays of article 112 of the Labour Code: nothing is
// refused for want of a calendar, and Missing says when somebody has to be told.
package terms
