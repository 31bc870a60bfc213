package postgres

// Statements of polls, relays and acknowledgements are planned once for a session, often while
// the queue is empty, and go on so when a million messages wait there, until somebody
// analyzes the table. Where statistics say that nothing is there, all of its indexes cost the
// same: one that begins with the number of the queue, and has that of the row behind
// the service, is as good to the planner as the primary key, and to find a row by it is to
// walk over all that waits. So is to read all of the table once, and hold each row against
// those that are wanted.
//
// So these statements leave it no choice. What tells a row is in one index alone (rowIs), or
// is wanted in the order that one index has (rowAt); it is a range, because where rows are to be
// equal the planner may go through an index from end to end, to merge them; and
// their sessions neither sort, nor scan or hash a table as long as there is another way (planned).

// rowIs has a row q of the queue be the one that the row of another table says, by
// queue, prio, seq and message_id. The sums are no columns, so no index has them, and q is
// found by its MessageID.
func rowIs(of string) string {
	return "q.message_id >= " + of + ".message_id AND q.message_id <= " + of + ".message_id AND (q.queue + 0, q.prio + 0, q.seq + 0) = (" + of + ".queue, " + of + ".prio, " + of + ".seq)"
}

// rowAt is what rowIs asks of k, for a row of which only queue, prio and seq are known.
func rowAt(key string) string {
	return "LATERAL (SELECT queue, prio, seq, message_id FROM queue WHERE " + keyIs(key) + " ORDER BY queue, prio, seq LIMIT 1) k"
}

// keyIs has queue, prio and seq be those of a row, by the primary key when they are ordered by it.
func keyIs(key string) string {
	return "(queue, prio, seq) >= (" + key + ") AND (queue, prio, seq) <= (" + key + ")"
}

// relayedIs has a row r of relayed be the one that the row of another table says.
func relayedIs(of string) string {
	return "r.message >= " + of + ".message AND r.message <= " + of + ".message AND r.queue + 0 = " + of + ".queue"
}

// inPlace says whether a message of another table has been put into its queue. What is behind
// the OFFSET is no part of a join.
func inPlace(of string) string {
	return "EXISTS (SELECT FROM placed p WHERE p.message = " + of + ".message AND p.queue = " + of + ".queue OFFSET 0)"
}
