package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

type benchCompareCmd struct {
	Accept      bool   `xor:"what" help:"Compare accepts; default: whole exchanges."`
	Sustained   bool   `help:"With --accept: what is accepted is delivered and acknowledged meanwhile, and counted with it; default: after each turn, which takes longer than the turn."`
	Old         string `placeholder:"PROGRAM" type:"existingfile" help:"Build of mezhved to compare with; default: the same one, under --old-settings."`
	OldSettings string `placeholder:"FILE" type:"existingfile" help:"Settings (YAML) that are laid over those of the gateway to compare with; --settings are for the other one."`
	Filled      string `placeholder:"DIR" type:"existingdir" help:"Compare the store of this folder, which bench fill has made, with a new one."`
	Turns       int    `default:"3" help:"Turns of each, at least two."`
	OldFirst    bool   `name:"old-first" default:"true" negatable:"" help:"Which has the first turn; the order changes with every turn."`
	loadFlags
}

func (benchCompareCmd) Help() string {
	return `Runs two gateways in turns, two builds or one under two settings, each turn with a new database and broker, or the
one of --filled, under the load of this program, and prints what they do and the ratio of the new one (--gateway, default this build; --settings)
to the old one with its 95 % confidence interval. Rates say little on a machine that others use too. Processor times say
more, though whoever shares caches and cores makes them longer; the generator does the same work for either, so both in
its measure say more still. Bytes say the same on every machine. How idle the processors were says whether they bound the rate, and
what others had of them how much a turn is worth. What a turn's warm-up does is in no figure. When it is interrupted, or a
turn fails, it prints what whole turns have shown.

Examples:
  mezhved bench compare --old ./mezhved-before
  mezhved bench compare --old ./mezhved-before --gateway ./mezhved-after --accept --turns 5 --duration 20s
  mezhved bench compare --old ./mezhved-before --accept --sustained
  mezhved bench compare --settings sealed.yaml --turns 6
  mezhved bench compare --filled filled --duration 30s
  mezhved bench compare --old-settings one-shard.yaml --settings eight-shards.yaml --json`
}

// figure is one measured quantity of both builds, a value for each turn.
type figure struct {
	Name     string    `json:"figure"`
	Old      []float64 `json:"old"`
	New      []float64 `json:"new"`
	Ratio    float64   `json:"ratio,omitzero"` // new to old, the geometric mean of the turns; none: of the machine, not of a build
	Low      float64   `json:"ratioLow,omitzero"`
	High     float64   `json:"ratioHigh,omitzero"` // neither: there was one turn
	Decimals int       `json:"-"`
	Machine  bool      `json:"-"`
}

func (c *benchCompareCmd) Run(ctx context.Context, out *stdio) error {
	if len(c.URL) > 0 || c.Dir != "" || c.Profile != "" || c.Allocs != "" || c.Stages {
		return usage(errors.New("each turn has a private gateway with a folder of its own: --url, --dir, --profile, --allocations and --stages do not go with compare"))
	}
	if c.Old == "" && c.OldSettings == "" && c.Settings == "" && c.Filled == "" {
		return usage(errors.New("nothing to compare: name another build with --old, settings with --settings or --old-settings, or a filled store with --filled"))
	}
	if c.Sustained && !c.Accept {
		return usage(errors.New("--sustained goes with --accept: whole exchanges are delivered anyway"))
	}
	if c.Turns < 2 {
		return usage(errors.New("--turns: one turn says nothing about the difference between turns, take two at least"))
	}
	var whole, figures []*figure // of whole turns, and with the half of one
	var cut error
	for half := 0; half < 2*c.Turns && cut == nil; half++ {
		turn := half / 2
		old := (turn+half)%2 == 0 == c.OldFirst
		name := map[bool]string{true: "old", false: "new"}[old]
		values, err := c.turn(ctx, old)
		if err != nil {
			cut = fmt.Errorf("turn %d of %d, %s one: %w", turn+1, c.Turns, name, err)
			continue
		}
		if figures = together(figures, values); half%2 == 1 {
			whole = figures
		}
		if !c.JSON {
			fmt.Fprintf(out.err, "turn %d of %d, %s one done\n", turn+1, c.Turns, name)
		}
	}
	if whole == nil {
		return cut
	}
	return errors.Join(cut, c.print(out, whole))
}

// print prints what whole turns have shown.
func (c *benchCompareCmd) print(out *stdio, figures []*figure) error {
	turns := len(figures[0].Old)
	rows := [][]string{{"", "old", "new", "new/old", "95 %"}}
	for _, f := range figures {
		if f.Machine {
			rows = append(rows, []string{f.Name, mean(f.Old, f.Decimals), mean(f.New, f.Decimals), "", ""})
			continue
		}
		f.Ratio, f.Low, f.High = ratio(f.Old, f.New)
		within := "one turn"
		if turns > 1 {
			within = fmt.Sprintf("%.2f-%.2f", f.Low, f.High)
		}
		rows = append(rows, []string{f.Name, mean(f.Old, f.Decimals), mean(f.New, f.Decimals), fmt.Sprintf("%.2f", f.Ratio), within})
	}
	if c.JSON {
		return printJSON(out.out, figures)
	}
	return table(out.out, rows)
}

// together are the values of the turns before with those of one turn.
func together(figures, values []*figure) []*figure {
	all := make([]*figure, len(values))
	for i, v := range values {
		one := *v
		if figures != nil {
			one.Old, one.New = slices.Concat(figures[i].Old, v.Old), slices.Concat(figures[i].New, v.New)
		}
		all[i] = &one
	}
	return all
}

// turn runs one of the two once.
func (c *benchCompareCmd) turn(ctx context.Context, old bool) ([]*figure, error) {
	flags := c.loadFlags
	if old {
		flags.Settings = c.OldSettings
		if c.Old != "" {
			flags.Gateway = c.Old
		}
	} else {
		flags.Dir = c.Filled
	}
	var figures []*figure
	add := func(name string, decimals int, v float64) {
		f := &figure{Name: name, Decimals: decimals, New: []float64{v}}
		if old {
			f.Old, f.New = f.New, nil
		}
		figures = append(figures, f)
	}
	cost := func(c costs, s storage, m shares) {
		add("processor time, ms: gateway and PostgreSQL", 3, c.Gateway+c.Database)
		add("  gateway, broker included", 3, c.Gateway)
		add("  PostgreSQL", 3, c.Database)
		add("  and the generator, beside them", 3, c.Generator)
		add("all three", 3, c.Gateway+c.Database+c.Generator)
		add("both as a multiple of the generator's", 2, (c.Gateway+c.Database)/c.Generator)
		if c.Bytes > 0 {
			add("bytes that the gateway allocates", 0, c.Bytes)
			add("pieces that it allocates", 0, c.Pieces)
		}
		add("bytes that stay in PostgreSQL, a message", 0, s.Stays)
		add("bytes of PostgreSQL's WAL, a message", 0, s.WAL)
		for _, of := range []struct {
			name  string
			share float64
		}{{"of the processors, %: idle", m.Idle}, {"  others had", m.Others}, {"  the host has stolen", m.Stolen}} {
			add(of.name, 1, 100*of.share)
			figures[len(figures)-1].Machine = true
		}
	}
	if c.Accept {
		run := benchAcceptCmd{loadFlags: flags, Sustained: c.Sustained}
		r, err := run.measure(ctx, nil)
		if err = errors.Join(err, r.wrong(), notCounted(r.Cut)); err != nil {
			return nil, err
		}
		add("accepts/s", 0, r.PerSecond)
		add("p99 of an accept, ms", 1, r.P99)
		add("p99 until queued, ms", 1, r.QueuedP99)
		cost(r.Cost, r.Storage, r.Machine)
		return figures, nil
	}
	run := benchExchangeCmd{loadFlags: flags}
	r, err := run.measure(ctx, nil)
	if err = errors.Join(err, r.wrong(), notCounted(r.Cut)); err != nil {
		return nil, err
	}
	add("exchanges/s", 0, r.PerSecond)
	add("p99 of an exchange, ms", 1, r.P99)
	cost(r.Cost, r.Storage, r.Machine)
	return figures, nil
}

// notCounted says that a turn was interrupted; nil: it was not.
func notCounted(seconds float64) error {
	if seconds == 0 {
		return nil
	}
	return no(errors.New("interrupted, and not counted"))
}

func mean(v []float64, decimals int) string {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return fmt.Sprintf("%.*f", decimals, sum/float64(len(v)))
}

// ratio is the geometric mean of the turns' ratios with its 95 % confidence
// interval: Student's t over their logarithms, the turns being pairs. One turn has none.
func ratio(old, new []float64) (mean, low, high float64) {
	n := float64(len(old))
	logs, sum := make([]float64, len(old)), 0.0
	for i := range old {
		logs[i] = math.Log(new[i] / old[i])
		sum += logs[i]
	}
	m, squares := sum/n, 0.0
	if len(old) == 1 {
		return math.Exp(m), 0, 0
	}
	for _, l := range logs {
		squares += (l - m) * (l - m)
	}
	// Quantiles of 97.5 % for 1, 2, ... degrees of freedom (any table of Student's t).
	t := []float64{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228}
	half := t[min(len(old)-2, len(t)-1)] * math.Sqrt(squares/(n-1)/n)
	return math.Exp(m), math.Exp(m - half), math.Exp(m + half)
}
