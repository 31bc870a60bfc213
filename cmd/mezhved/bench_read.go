package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"mezhved/adapter/reports"
)

type benchReadCmd struct {
	Filled string `required:"" placeholder:"DIR" type:"existingdir" help:"Folder that bench fill has made."`
	Rounds int    `default:"30" help:"How often everything is asked of each."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

func (benchReadCmd) Help() string {
	return `Asks two private gateways, one with a new store in which a few exchanges were made and one with the store of DIR, in turns,
for all that people and monitors look at: searches of the journal by message, party, service, time and person, pages of
the desk, reports of thirty days, metrics and readiness. Prints the times of half and of 95 in 100 of the answers, and how
long each gateway took to become ready, and, of the rounds of its loops, how long one took on average.

Examples:
  mezhved bench fill --dir filled --messages 1000000
  mezhved bench read --filled filled
  mezhved bench read --filled filled --rounds 100 --json`
}

// lookTimes is how long one thing took in both stores, in milliseconds.
type lookTimes struct {
	Name   string    `json:"look"`
	Empty  quantiles `json:"empty"`
	Filled quantiles `json:"filled"`
	Ratio  float64   `json:"ratio"` // of the medians
	Failed int       `json:"failed,omitzero"`
	Why    string    `json:"why,omitempty"` // of the first that failed
}

type quantiles struct {
	P50 float64 `json:"p50Ms"`
	P95 float64 `json:"p95Ms"`
}

// look is something that is asked of a gateway about an entry of its journal, the
// first of some message.
type look struct {
	name   string
	about  func(e *readEntry) (path string, body any) // a body is posted
	seldom bool                                       // it may take a minute: in one of ten rounds
	either bool                                       // a no is an answer too
}

// readEntry is what is looked at: the entry of an acceptance.
type readEntry struct {
	Index     int64     `json:"index"`
	Logged    time.Time `json:"logged"`
	Message   string    `json:"message"`
	MessageID string    `json:"messageId"`
	Sender    string    `json:"sender"`
	Recipient string    `json:"recipient"`
	Service   string    `json:"service"`
	Version   string    `json:"version"`
	Openings  []struct{ Field, Value string }
}

func looks() []look {
	get := func(name, path string) look {
		return look{name: name, about: func(*readEntry) (string, any) { return path, nil }}
	}
	of := func(name string, path func(e *readEntry) string) look {
		return look{name: name, about: func(e *readEntry) (string, any) { return path(e), nil }}
	}
	const search = "/api/v1/journal/entries?"
	list := []look{
		of("search: message", func(e *readEntry) string { return search + "id=" + e.MessageID }),
		of("search: sender", func(e *readEntry) string { return search + "sender=" + e.Sender }),
		of("search: recipient and service", func(e *readEntry) string {
			return search + "recipient=" + e.Recipient + "&service=" + e.Service + "&version=" + e.Version
		}),
		of("search: sender in an hour, oldest first", func(e *readEntry) string {
			return search + "order=oldest&sender=" + e.Sender + "&from=" + e.Logged.Add(-time.Hour).UTC().Format(time.RFC3339) + "&to=" + e.Logged.Add(time.Second).UTC().Format(time.RFC3339)
		}),
		of("search: what is not there", func(e *readEntry) string { return search + "sender=" + e.Sender + "&outcome=Nothing" }),
		{name: "search: person", about: func(e *readEntry) (string, any) {
			person := map[string]string{"field": "snils", "value": "00000000000"}
			for _, o := range e.Openings {
				if o.Field == "snils" {
					person["value"] = o.Value
				}
			}
			return "/api/v1/journal/search", map[string]any{"person": person, "ground": "benchmark", "case": "1"}
		}},
		of("totals by day, a service", func(e *readEntry) string { return "/api/v1/journal/totals?by=day,kind&service=" + e.Service }),
		of("entry with its proof", func(e *readEntry) string { return fmt.Sprintf("/api/v1/journal/entries/%d/proof", e.Index) }),
		of("desk: trace", func(e *readEntry) string { return "/console/trace/" + e.MessageID }),
		of("desk: message", func(e *readEntry) string { return "/console/message/" + e.Message }),
		get("desk: first page", "/console/"),
		get("desk: late", "/console/late"),
		of("desk: late at a party", func(e *readEntry) string { return "/console/late?party=" + e.Recipient }),
		get("desk: journal", "/console/search"),
		of("desk: journal of a party", func(e *readEntry) string { return "/console/search?recipient=" + e.Recipient }),
		get("desk: queues", "/console/queues"),
		get("desk: services", "/console/services"),
		get("desk: parties", "/console/parties"),
		get("desk: health", "/console/health"),
		get("/metrics", "/metrics"),
		{name: "/readyz", about: func(*readEntry) (string, any) { return "/readyz", nil }, either: true},
		get("/checkpoint", "/checkpoint"),
	}
	for _, kind := range reports.Kinds {
		list = append(list, look{name: "report, 30 days: " + string(kind), seldom: true, about: func(*readEntry) (string, any) {
			now := time.Now().UTC()
			return fmt.Sprintf("/api/v1/reports/%s?from=%s&to=%s", kind, now.AddDate(0, 0, -30).Format(time.DateOnly), now.Format(time.DateOnly)), nil
		}})
	}
	return list
}

func (c *benchReadCmd) Run(ctx context.Context, out *stdio) (err error) {
	lightCollector()
	var beds [2]*bed // a new store, and the filled one
	var entries [2][]*readEntry
	var began [2]time.Duration
	for i, dir := range []string{"", c.Filled} {
		f := loadFlags{Dir: dir, Key: "ecdsa-p256"}
		start := time.Now()
		b, err := f.open(ctx)
		if err != nil {
			return err
		}
		began[i] = time.Since(start)
		defer func() { err = errors.Join(err, b.finish()) }()
		beds[i] = b
		if i == 0 {
			x := b.exchanges()
			if err := x.drive(ctx, 8, 2, 3*time.Second, nil); err != nil {
				return err
			}
			if err := b.settle(ctx, 0); err != nil {
				return err
			}
		}
		if entries[i], err = b.readEntries(ctx, c.Rounds); err != nil {
			return err
		}
	}
	list := looks()
	times := make([][2]*latencies, len(list))
	failed := make([][]error, len(list))
	for n := range list {
		times[n] = [2]*latencies{newLatencies(), newLatencies()}
	}
	for round := range c.Rounds {
		for n, l := range list {
			if l.seldom && round%10 != 0 {
				continue
			}
			for turn := range 2 {
				i := (round + turn) % 2
				path, body := l.about(entries[i][round])
				start := time.Now()
				if _, err := beds[i].ask(ctx, path, body); err != nil && !l.either {
					failed[n] = append(failed[n], err)
				}
				times[n][i].add(time.Since(start))
			}
		}
	}
	result := make([]lookTimes, 0, len(list)+4)
	add := func(name string, empty, filled quantiles) {
		result = append(result, lookTimes{Name: name, Empty: empty, Filled: filled, Ratio: filled.P50 / empty.P50})
	}
	for n, l := range list {
		q := func(i int) quantiles { return quantiles{times[n][i].ms(50), times[n][i].ms(95)} }
		add(l.name, q(0), q(1))
		if len(failed[n]) > 0 {
			result[n].Failed, result[n].Why = len(failed[n]), failed[n][0].Error()
		}
	}
	once := func(d time.Duration) quantiles {
		ms := float64(d.Microseconds()) / 1000
		return quantiles{ms, ms}
	}
	add("start until ready", once(began[0]), once(began[1]))
	for _, stage := range []string{"sweep", "terms"} {
		var mean [2]time.Duration
		for i, b := range beds {
			if mean[i], err = b.stageMean(ctx, stage); err != nil {
				return err
			}
		}
		add("a round of the loop "+stage, once(mean[0]), once(mean[1]))
	}
	var problems []error
	rows := [][]string{{"ms", "empty p50", "p95", "filled p50", "p95", "filled/empty"}}
	for _, r := range result {
		if r.Failed > 0 {
			problems = append(problems, fmt.Errorf("%s: %d failed: %s", r.Name, r.Failed, r.Why))
		}
		rows = append(rows, []string{r.Name, fmt.Sprintf("%.1f", r.Empty.P50), fmt.Sprintf("%.1f", r.Empty.P95), fmt.Sprintf("%.1f", r.Filled.P50), fmt.Sprintf("%.1f", r.Filled.P95), fmt.Sprintf("%.2f", r.Ratio)})
	}
	if c.JSON {
		err = printJSON(out.out, result)
	} else {
		err = table(out.out, rows)
	}
	if len(problems) > 0 {
		err = no(errors.Join(append(problems, err)...))
	}
	return err
}

// readEntries finds n acceptances anywhere in the journal, with what opens them.
func (b *bed) readEntries(ctx context.Context, n int) ([]*readEntry, error) {
	page := func(path string) (list []*readEntry, err error) {
		text, err := b.ask(ctx, path, nil)
		if err != nil {
			return nil, err
		}
		var answer struct{ Entries []*readEntry }
		err = json.Unmarshal(text, &answer)
		return answer.Entries, err
	}
	ends := make([]*readEntry, 2)
	for i, order := range []string{"oldest", "newest"} {
		list, err := page("/api/v1/journal/entries?kind=accepted&limit=1&order=" + order)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return nil, no(errors.New("the journal has no accepted message"))
		}
		ends[i] = list[0]
	}
	var out []*readEntry
	for len(out) < n {
		at := ends[0].Logged.Add(time.Duration(rand.Int64N(int64(max(ends[1].Logged.Sub(ends[0].Logged), time.Millisecond)))))
		list, err := page("/api/v1/journal/entries?kind=accepted&limit=50&order=oldest&from=" + at.UTC().Format(time.RFC3339Nano))
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			continue // later than the last one, by less than a millisecond
		}
		e := list[rand.IntN(len(list))]
		for _, other := range list { // whom the load is about is one person, in thousands of messages
			if other.Sender != benchSender && other.Sender != benchProvider {
				e = other
				break
			}
		}
		text, err := b.ask(ctx, fmt.Sprintf("/api/v1/journal/entries/%d?openings=true", e.Index), nil)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, e); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// ask reads what a gateway answers to its auditor, posting a body where there is one.
func (b *bed) ask(ctx context.Context, path string, body any) ([]byte, error) {
	if body == nil {
		return b.get(ctx, path)
	}
	content, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return b.call(ctx, http.MethodPost, b.base+path, content)
}

// stageMean is how long a stage of the gateway took on average since its start.
func (b *bed) stageMean(ctx context.Context, stage string) (time.Duration, error) {
	text, err := b.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	read := func(of string) float64 {
		_, figure, _ := strings.Cut(string(text), fmt.Sprintf("\nmezhved_stage_seconds_%s{stage=%q} ", of, stage))
		figure, _, _ = strings.Cut(figure, "\n")
		v, _ := strconv.ParseFloat(strings.Fields(figure + " 0")[0], 64)
		return v
	}
	return time.Duration(read("sum") / max(read("count"), 1) * float64(time.Second)), nil
}
