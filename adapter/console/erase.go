package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
	"mezhved/adapter/vault"
)

// contentOrder is the body of an order to erase content: of the messages and refused
// calls that the ids name, of all that a question finds, or of a proposal.
type contentOrder struct {
	IDs      []string  `json:"ids,omitempty"`      // our ids, MessageIDs, incidents
	Exchange bool      `json:"exchange,omitempty"` // with the request that a message answers, and all answers
	Question *question `json:"question,omitempty"`
	Proposal string    `json:"proposal,omitempty"` // of another operator, to be confirmed
	Ground   string    `json:"ground,omitempty"`
	Expect   *int      `json:"expect,omitempty"` // how many there are, as the preview said; needed for more than one
	Preview  bool      `json:"preview,omitempty"`
}

// ErasedContent says what an order did, or would do.
type ErasedContent struct {
	Count    int                 `json:"count"`              // found
	Messages []string            `json:"messages,omitempty"` // the first of them
	Found    []postgres.Erasable `json:"found,omitempty"`    // in a preview: the first of them, and what they are
	Erased   int                 `json:"erased"`             // by this order; less than found where some were erased before
	Proposal string              `json:"proposal,omitempty"` // which another operator is to confirm
	Before   *postgres.Confirmed `json:"before,omitempty"`   // who had confirmed the proposal already: nothing was done now
	Waiting  []postgres.Proposal `json:"waiting,omitempty"`  // proposals, in a preview without ids and question
}

func (c *Console) serveEraseContent(w http.ResponseWriter, r *http.Request, who Actor) error {
	if c.Journal == nil || c.Content == nil {
		return errElsewhere
	}
	var o contentOrder
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return problem(http.StatusBadRequest, Text{"Ожидается распоряжение об удалении, как его описывает API: %v.", "An order to erase as the API describes it is expected: %v."}, err)
	}
	actor := string(who.Role) + " " + who.Name
	now := c.Now().UTC()
	if o.Proposal != "" {
		done, err := c.Content.Confirm(r.Context(), o.Proposal, actor, now)
		if err != nil {
			return c.eraseProblem(err)
		}
		out := ErasedContent{Count: done.Erased, Erased: done.Erased}
		if done.Before {
			out.Before = &done
		}
		return writeJSON(w, out)
	}
	if len(o.IDs) == 0 && o.Question == nil {
		if !o.Preview {
			return problem(http.StatusBadRequest, Text{"Что удалить, не указано: ids или question.", "What to erase is not said: ids or question."})
		}
		waiting, err := c.Content.Proposals(r.Context(), now)
		if err != nil {
			return err
		}
		return writeJSON(w, ErasedContent{Waiting: waiting})
	}
	if o.Ground = strings.TrimSpace(o.Ground); o.Ground == "" && !o.Preview {
		return problem(http.StatusBadRequest, Text{"Для удаления нужно правовое основание: оно останется в журнале.", "Erasing needs the legal ground: it is what the journal will show."})
	}
	found, err := c.toErase(r, who, &o)
	if err != nil {
		return err
	}
	out := ErasedContent{Count: len(found.messages) + len(found.incidents)}
	for _, id := range found.messages[:min(len(found.messages), pageDefault)] {
		out.Messages = append(out.Messages, id.String())
	}
	switch {
	case out.Count > postgres.MostErased:
		return problem(http.StatusBadRequest, Text{"Одно распоряжение удаляет не больше %d, а нашлось %d: сузьте вопрос, например по дням.", "One order erases %d at most, and %d were found: narrow the question, by days for example."}, postgres.MostErased, out.Count)
	case o.Preview:
		if out.Found, err = c.Content.Erasables(r.Context(), found.messages[:len(out.Messages)], found.incidents[:min(len(found.incidents), pageDefault)]); err != nil {
			return err
		}
		return writeJSON(w, out)
	case (out.Count > 1 || o.Question != nil) && (o.Expect == nil || *o.Expect != out.Count):
		return problem(http.StatusConflict, Text{"Нашлось %d: посмотрите, что это (preview; в команде --dry-run), и повторите с expect: %d (--count %d).",
			"%d were found: look at what they are (preview; of the command, --dry-run) and repeat the order with expect: %d (--count %d)."}, out.Count, out.Count, out.Count)
	}
	order := postgres.EraseOrder{Messages: found.messages, Incidents: found.incidents, Ground: o.Ground, By: actor, At: now}
	if q := o.Question; q != nil && q.Person != nil {
		if order.Sought, err = c.Journal.Sought(journal.PersonalField{Field: q.Person.Field, Value: q.Person.Value}); err != nil {
			return err
		}
	}
	if c.Gateway().Config().Keep.FourEyes {
		out.Proposal, err = c.Content.Propose(r.Context(), order)
	} else {
		out.Erased, err = c.Content.EraseContent(r.Context(), order)
	}
	if err != nil {
		return c.eraseProblem(err)
	}
	return writeJSON(w, out)
}

// eraseProblem says what an order cannot do.
func (c *Console) eraseProblem(err error) error {
	var waits *postgres.WaitsError
	var missing *postgres.KeysMissingError
	switch {
	case errors.As(err, &waits):
		return problem(http.StatusConflict, Text{"Ещё в пути (%d): %s и другие. Их можно удалить, когда получатель их заберёт или истечёт их срок; то, о чём журнал ещё не записан, — через секунду.",
			"%d are still on their way, %s among them: they can be erased when their recipient has taken them or their life has ended; what the journal has not written yet, in a second."}, len(waits.Messages), waits.Messages[0])
	case errors.Is(err, vault.ErrUnfinished):
		c.Log.Error("console: an erasure was noted and not carried out to its end; it will be tried again", "error", err)
		return problem(http.StatusServiceUnavailable, Text{"Распоряжение записано и выполнено не до конца: узел закончит его сам в ближайшие минуты, либо его закончит mezhved journal re-erase. Причина — в журнале процесса.",
			"The order is noted and was not carried out to its end: a node will end it by itself within minutes, or mezhved journal re-erase does. Why is in the log of the process."})
	case errors.As(err, &missing):
		return problem(http.StatusConflict, Text{"Ничего не удалено: в папке journal.vault этого узла нет ключей %s, и то, что под ними, не прочесть. Верните их из резервной копии хранилища ключей и повторите. " +
			"Если их уничтожил срок хранения, а база восстановлена из более ранней копии, повторите после очередной уборки (раз в 6 часов): она удалит и сами значения.",
			"Nothing was erased: the folder of journal.vault has not the keys %s, and what is under them cannot be read. Put them back from the vault's own backup, and repeat the order. " +
				"Where retention has destroyed them and the database is of an older backup, repeat it after the next pass of retention (every 6 h), which removes the values."}, strings.Join(missing.Keys, ", "))
	case errors.Is(err, adapter.ErrNotFound):
		return problem(http.StatusNotFound, Text{"Такое предложение об удалении не ждёт подтверждения: неделя прошла, или его не было. Список — preview без ids (в команде --proposals).",
			"No such proposal waits: its week is over, or there never was one. A preview without ids lists them (of the command, --proposals)."})
	case errors.Is(err, postgres.ErrSameActor):
		return problem(http.StatusForbidden, Text{"Удаление подтверждает другой оператор, не тот, кто его предложил.", "An erasure is confirmed by another operator than the one who proposed it."})
	}
	return err
}

// targets are what an order names.
type targets struct {
	messages  []uuid.UUID
	incidents []string
}

func (t *targets) add(e *Entry) {
	switch journal.Kind(e.Kind) {
	case journal.KindAccepted:
		if id, err := uuid.Parse(e.Message); err == nil && !slices.Contains(t.messages, id) {
			t.messages = append(t.messages, id)
		}
	case journal.KindRefused:
		if e.Incident != "" && !slices.Contains(t.incidents, e.Incident) {
			t.incidents = append(t.incidents, e.Incident)
		}
	}
}

// toErase finds what an order names. A person's content is the whole exchange: the
// answer tells of the person as well as the question.
func (c *Console) toErase(r *http.Request, who Actor, o *contentOrder) (*targets, error) {
	out := &targets{}
	exchange := o.Exchange
	ids := o.IDs
	if q := o.Question; q != nil {
		if err := q.check(); err != nil {
			return nil, err
		}
		what := q.reading("search")
		what.values = nil // who is to be forgotten is not written down once more
		if err := c.note(r.Context(), who, what); err != nil {
			return nil, err
		}
		if err := c.Journal.Findable(r.Context(), q.query.Values...); err != nil {
			return nil, c.eraseProblem(err)
		}
		exchange = exchange || q.Person != nil
		seen := map[string]bool{}
		if err := c.Journal.Each(r.Context(), whole(q.query), func(row postgres.Row) error {
			l := &row.Leaf
			name := l.Message
			if l.Kind == journal.KindRefused {
				name = l.Incident
			}
			if k := l.Kind; name == "" || k == journal.KindErased || k == journal.KindEvidenceRead || seen[name] {
				return nil
			}
			if seen[name] = true; len(seen) > postgres.MostErased {
				return problem(http.StatusBadRequest, Text{"Одно распоряжение удаляет не больше %d: сузьте вопрос, например по дням.", "One order erases %d at most: narrow the question, by days for example."}, postgres.MostErased)
			}
			if id, err := uuid.Parse(l.Message); err == nil && !exchange && l.Kind != journal.KindRefused {
				out.messages = append(out.messages, id)
			} else if !exchange {
				out.incidents = append(out.incidents, l.Incident)
			} else {
				ids = append(ids, name)
			}
			return nil
		}); err != nil {
			return nil, err
		}
		if len(seen) == 0 {
			if err := c.mistyped(q); err != nil {
				return nil, err
			}
		}
	}
	for _, id := range ids {
		t := &Trace{}
		if err := c.gather(r.Context(), t, id); err != nil {
			return nil, err
		}
		if root := requestOf(t.Events); exchange && root != "" && root != id {
			if err := c.gather(r.Context(), t, root); err != nil {
				return nil, err
			}
		}
		before := len(out.messages) + len(out.incidents)
		for i := range t.Events {
			if e := &t.Events[i]; exchange || e.Message == id || e.MessageID == id || e.Incident == id {
				out.add(e)
			}
		}
		if len(o.IDs) > 0 && len(t.Events) == 0 && len(out.messages)+len(out.incidents) == before {
			return nil, problem(http.StatusNotFound, Text{"В журнале нет ничего с идентификатором %q.", "Nothing in the journal bears %q."}, clipped(id, 80))
		}
	}
	return out, nil
}
