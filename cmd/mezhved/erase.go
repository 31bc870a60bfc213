package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/console"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
	"mezhved/adapter/vault"
)

type journalEraseCmd struct {
	deskFlags
	questionFlags
	Index     *int64   `arg:"" optional:"" help:"Number of the entry whose values are to be removed, with --field."`
	Field     []string `placeholder:"NAME" help:"Names of the fields to remove, such as snils."`
	Content   bool     `help:"Erase content: envelopes, attachments, the values behind their entries, and their keys."`
	Message   []string `placeholder:"ID" help:"Whose content: a MessageID, an id of the gateway, or an incident."`
	Exchange  bool     `help:"With the request that a message answers, and all answers."`
	Person    string   `placeholder:"FIELD=VALUE" help:"Whose content: every exchange about a person, in any spelling."`
	Case      string   `help:"Whose content: messages for the case of this number."`
	Ground    string   `help:"Legal ground, without names of people: it stands in the journal for ever."`
	DryRun    bool     `help:"Count what would be erased, and erase nothing."`
	Count     *int     `placeholder:"N" help:"How many there are, as --dry-run said; needed for more than one."`
	Proposals bool     `help:"List the orders that wait for another operator (retention.fourEyes)."`
	Confirm   string   `placeholder:"ID" help:"Carry out what another operator has proposed."`
}

func (journalEraseCmd) Help() string {
	return `It cannot be undone. Entries and their proofs stay valid, and the erasure is an entry of its own. Content is erased with its keys, so
copies in replicas, backups and topics cannot be read either. What is still on its way is not erased. Needs an operator's token.
Doing it twice does nothing more.

Examples:
  mezhved journal erase 48112 --field snils --field applicant --ground "152-FZ, art. 21"
  mezhved journal erase --content --message fbaaa8e0-e60f-11f1-b256-e3ebba651313 --ground "152-FZ, art. 21"
  mezhved journal erase --content --person snils=11223344595 --dry-run                            # how many?
  mezhved journal erase --content --person snils=11223344595 --count 4 --ground "152-FZ, art. 21"
  mezhved journal erase --content --sender MUNI01 --to 2024-01-01 --dry-run                       # any question of journal search
  mezhved journal erase --confirm 01a200c3-ff6e-713b-a695-b1d40770f4ba                            # of another operator: --proposals`
}

func (c *journalEraseCmd) Run(ctx context.Context, out *stdio) error {
	content := c.Content || c.Confirm != "" || c.Proposals
	switch {
	case content == (c.Index != nil):
		return usage(errors.New("give either the number of an entry and --field, or --content and whose it is"))
	case c.Index != nil && len(c.Field) == 0:
		return usage(errors.New("name the fields to remove: --field"))
	case c.Ground == "" && !c.DryRun && c.Confirm == "" && !c.Proposals:
		return usage(errors.New("erasing needs a legal ground (--ground): it is what the journal will show"))
	}
	desk, err := c.client(console.Operator)
	if err != nil {
		return err
	}
	if content {
		return c.content(ctx, out, desk)
	}
	var done console.Erased
	order := map[string]any{"fields": c.Field, "ground": c.Ground}
	if err := desk.get(ctx, fmt.Sprintf("/api/v1/journal/entries/%d/erase", *c.Index), order, &done); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out.out, done)
	}
	if done.Proposal != "" {
		fmt.Fprintf(out.out, "entry %d: another operator confirms it: mezhved journal erase --confirm %s\n", done.Index, done.Proposal)
		return nil
	}
	if len(done.Erased) == 0 {
		fmt.Fprintf(out.out, "entry %d: nothing was left to erase\n", done.Index)
		return nil
	}
	fmt.Fprintf(out.out, "entry %d: erased %s\n", done.Index, strings.Join(done.Erased, ", "))
	return nil
}

func (c *journalEraseCmd) content(ctx context.Context, out *stdio, desk *deskClient) error {
	order, err := c.order()
	if err != nil {
		return err
	}
	var done console.ErasedContent
	if err := desk.get(ctx, "/api/v1/content/erase", order, &done); err != nil {
		return err
	}
	switch {
	case c.JSON:
		return printJSON(out.out, done)
	case c.Proposals:
		rows := [][]string{{"PROPOSAL", "TIME", "BY", "WHAT", "GROUND"}}
		for _, p := range done.Waiting {
			what := fmt.Sprintf("messages: %d", len(p.Messages)+len(p.Incidents))
			if p.Target != nil {
				what = fmt.Sprintf("entry %d: %s", *p.Target, strings.Join(p.Fields, ", "))
			}
			rows = append(rows, []string{p.ID, p.At.Format(time.RFC3339), console.Visible(p.By), what, console.Visible(p.Ground)})
		}
		return table(out.out, rows)
	case c.DryRun:
		fmt.Fprintf(out.out, "%d would be erased\n", done.Count)
		if len(done.Found) == 0 {
			return nil
		}
		rows := [][]string{{"TIME", "WHAT", "SERVICE", "FROM", "TO", "MESSAGE"}}
		for _, m := range done.Found {
			what := m.Direction
			if m.Refused {
				what = "refused call"
			}
			if m.Erased {
				what += ", erased already"
			}
			id := m.MessageID
			if id == "" {
				id = m.ID
			}
			rows = append(rows, []string{m.At.Format(time.RFC3339), what, console.Visible(m.Service), console.Visible(m.Sender), console.Visible(strings.Join(m.Recipients, ", ")), console.Visible(id)})
		}
		if err := table(out.out, rows); err != nil {
			return err
		}
		if more := done.Count - len(done.Found); more > 0 {
			fmt.Fprintf(out.out, "and %d more\n", more)
		}
	case done.Before != nil:
		fmt.Fprintf(out.out, "%s had confirmed it at %s: %d were erased then, nothing was left to do\n", console.Visible(done.Before.By), done.Before.At.Format(time.RFC3339), done.Before.Erased)
	case done.Proposal != "":
		fmt.Fprintf(out.out, "%d are to be erased; another operator confirms it: mezhved journal erase --confirm %s\n", done.Count, done.Proposal)
	default:
		fmt.Fprintf(out.out, "%d found, %d erased\n", done.Count, done.Erased)
	}
	return nil
}

// order is what the flags ask for, in the words of the API.
func (c *journalEraseCmd) order() (map[string]any, error) {
	if c.Confirm != "" {
		return map[string]any{"proposal": c.Confirm}, nil
	}
	order := map[string]any{"preview": c.DryRun || c.Proposals, "ground": c.Ground, "exchange": c.Exchange}
	if c.Count != nil {
		order["expect"] = *c.Count
	}
	if c.Proposals {
		return order, nil
	}
	if os.Getenv("MEZHVED_TEST") != "" { // a switch for looking would choose, unseen, what is erased
		return nil, usage(errors.New("MEZHVED_TEST is set and would leave messages out of the erasure: unset it, and say --test where that is meant"))
	}
	question := map[string]any{}
	for name, list := range c.values() {
		question[name] = list[0]
	}
	about := aboutFlags{Person: c.Person, Case: c.Case} // --ground is the erasure's own
	if err := about.add(question); err != nil {
		return nil, err
	}
	switch {
	case len(c.Message) > 0 && len(question) > 0:
		return nil, usage(errors.New("--message and a question do not go together"))
	case len(c.Message) > 0:
		order["ids"] = c.Message
	case len(question) > 0:
		order["question"] = question
	default:
		return nil, usage(errors.New("whose content? --message, --person, or a question as journal search has it"))
	}
	return order, nil
}

type journalReEraseCmd struct {
	Config   string `required:"" short:"c" placeholder:"FILE" type:"existingfile" help:"The gateway's configuration."`
	Register string `placeholder:"FILE" type:"existingfile" help:"A copy of the vault's register (erasures) that was kept elsewhere."`
}

func (journalReEraseCmd) Help() string {
	return `After the database or the vault was restored from a backup: what was erased since the backup was made is erased again, by the register
in the vault, by the one in the database, and by a copy that was kept elsewhere. Run it before the gateways are started; doing it twice
does nothing more. A running gateway holds the first two against each other by itself, when it starts and every ten minutes: what nodes
have done so in the last week is told as well. Exit code 1: erasures wait for keys that the vault has not.

Example:
  mezhved journal re-erase --config /etc/mezhved/mezhved.yaml --register /backup/erasures`
}

func (c *journalReEraseCmd) Run(ctx context.Context, out *stdio) (err error) {
	config, err := adapter.LoadConfig(c.Config)
	if err != nil {
		return usage(err)
	}
	if config.Journal.Vault == "" {
		return usage(errors.New("the configuration names no journal.vault"))
	}
	var kept []vault.Erasure
	if c.Register != "" {
		text, err := os.ReadFile(c.Register)
		if err != nil {
			return usage(err)
		}
		if kept, err = vault.ReadErasures(text); err != nil {
			return usage(fmt.Errorf("%s: %w", c.Register, err))
		}
	}
	store, keys, stop, err := openStore(ctx, config, out.openLog(false, false), postgres.Migrate)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	book, err := store.Journal(ctx, config.Journal.Origin, keys)
	if err != nil {
		return unavailable(err)
	}
	before, err := reerasedLately(ctx, book)
	if err != nil {
		return unavailable(err)
	}
	done, err := store.Reerase(ctx, kept, true, "mezhved journal re-erase")
	if err != nil {
		return unavailable(err)
	}
	if _, err = fmt.Fprintf(out.out, "%d erasures had been forgotten; %d messages, refused calls and values were erased again\n%s", done.Lines, done.Content, before); err == nil && done.Waiting > 0 {
		err = no(errors.New(notReerased(done)))
	}
	return err
}

// reerasedLately says what was done before: a node does it when it starts, and may have been
// quicker.
func reerasedLately(ctx context.Context, book *postgres.Journal) (string, error) {
	rows, err := book.Search(ctx, postgres.Query{From: time.Now().AddDate(0, 0, -7), Kind: journal.KindConfigChanged, Outcome: postgres.OutcomeErasedAgain, Descending: true, Limit: 5})
	if err != nil {
		return "", err
	}
	var said strings.Builder
	for _, r := range rows {
		l := &r.Leaf
		fmt.Fprintf(&said, "done before: %s on node %s: %s; messages, refused calls and values erased again: %d (entry %d)\n", l.Time.UTC().Format(time.RFC3339), console.Visible(l.Node), l.Rule, l.Count, r.Index)
	}
	return said.String(), nil
}

// notReerased says what an erasure that was to be done again waits for.
func notReerased(done postgres.Reerased) string {
	return fmt.Sprintf("%s not done again, for journal.vault has not the keys %s: put them back from the vault's own backup and run mezhved journal re-erase; "+
		"where retention has destroyed them, a running gateway does it after its next pass (every 6 h); where they are lost, mezhved journal lost-key admits it", many(done.Waiting, "erasure was", "erasures were"), done.Missing)
}
