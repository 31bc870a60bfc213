// Package console is the desk of operators and auditors: pages for a person at a
// browser (/console) and the JSON API under them (/api/v1, described at
// /api/openapi.json). Pages ask the same questions as the API and get the same
// answers.
//
// Who may enter: the bearer of a token that the configuration names, as an
// operator or as an auditor. Everybody else sees the way in and the API's
// description, and nothing of the exchange.
//
// The auditor is audited: whatever an auditor reads is an entry of the journal
// (evidence-read) before the answer begins, and so is every disclosure of
// content to an operator. When that entry cannot be written there is no answer.
//
// What an attacker could do who can write here: read every message. What one can
// do who can only send messages: choose texts that are shown here. They go
// through html/template and through Visible, which shows what would change the
// direction or the look of a line as what it is; the pages run no inline script
// and load nothing from elsewhere.
package console
