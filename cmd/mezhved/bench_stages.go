package main

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// stageCost is the processor time of a stage of the gateway, each operation.
type stageCost struct {
	Stage  string  `json:"stage"`
	Share  float64 `json:"share"` // of the gateway's processor time
	Millis float64 `json:"ms"`
}

type stageName struct {
	name      string
	functions *regexp.Regexp
}

// stageTable names the stages of doc.go's drawing by the functions that a profile has
// of them. Of those on a stack the one nearest to where the time went counts, so that a
// signature that is made under a lease is a signature. The first line is no part of the
// load and left out; the last one is for what none of them is on.
var stageTable = []stageName{
	{"the start, and what the bench asks", regexp.MustCompile(`^main\.\(\*serveCmd\)\.Run$|^runtime\.(main|doInit1?)$|^mezhved/adapter/console\.|promhttp\.`)},
	{"HTTP", regexp.MustCompile(`^net/http\.\(\*conn\)\.serve$|^net/http\.\(\*connReader\)`)},
	{"parse", regexp.MustCompile(`^mezhved/envelopes\.Parse|^mezhved/adapter\.\(\*Gateway\)\.parse$`)},
	{"verify signatures", regexp.MustCompile(`^mezhved/signing\.\(\*Verifier\)`)},
	{"admit: schema, rights, subject", regexp.MustCompile(`^mezhved/adapter\.\(\*Gateway\)\.(admit\w+|checkContent)$`)},
	{"sign receipts and answers", regexp.MustCompile(`^mezhved/signing\.(Sign|SignInto|AppendSigned)$`)},
	{"accept", regexp.MustCompile(`^mezhved/adapter\.\(\*Gateway\)\.accept$|^mezhved/adapter/postgres\.\(\*Store\)\.(startWriters|write)\b`)},
	{"relay", regexp.MustCompile(`^mezhved/adapter\.\(\*Gateway\)\.relay$`)},
	{"client of the bus", regexp.MustCompile(`^mezhved/adapter/kafka\.|^github\.com/segmentio/kafka-go`)},
	{"broker, in this process", regexp.MustCompile(`^github\.com/twmb/franz-go`)},
	{"intake", regexp.MustCompile(`^mezhved/adapter\.\(\*Gateway\)\.enqueue$`)},
	{"poll", regexp.MustCompile(`^mezhved/adapter\.\(\*Gateway\)\.poll$|^mezhved/adapter/postgres\.\(\*Store\)\.lease$`)},
	{"acknowledge", regexp.MustCompile(`^mezhved/adapter\.\(\*Gateway\)\.ack$|^mezhved/adapter/postgres\.\(\*Store\)\.ack$`)},
	{"journal", regexp.MustCompile(`^mezhved/adapter/journal/clerk\.`)},
	{"journal's topic", regexp.MustCompile(`^mezhved/adapter\.\(\*Gateway\)\.feed`)},
	{"terms", regexp.MustCompile(`^mezhved/adapter\.\(\*Gateway\)\.openTerms`)},
	{"collector", regexp.MustCompile(`^runtime\.(gcBgMarkWorker|bgsweep|bgscavenge|gcAssistAlloc)`)},
	{"scheduler", regexp.MustCompile(`^runtime\.(mcall|schedule|mstart|sysmon|morestack)$`)},
	{"what else there is", nil},
}

// readStages reads a profile of the gateway, whose time for each operation was so many
// milliseconds.
func readStages(name string, millis float64) ([]stageCost, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	p, err := profile.Parse(file)
	if err != nil {
		return nil, fmt.Errorf("profile of the gateway: %w", err)
	}
	kinds := map[string]int{}
	last := len(stageTable) - 1
	kind := func(function string) int {
		n, known := kinds[function]
		if !known {
			n = slices.IndexFunc(stageTable[:last], func(s stageName) bool { return s.functions.MatchString(function) })
			kinds[function] = n
		}
		return n
	}
	times, total := make([]int64, len(stageTable)), int64(0)
	for _, s := range p.Sample {
		at := last
		for _, l := range s.Location { // from the inside to the outside
			for _, line := range l.Line {
				if n := kind(line.Function.Name); n >= 0 && at == last {
					at = n
				}
			}
		}
		if at == 0 {
			continue
		}
		nanos := s.Value[len(s.Value)-1]
		times[at] += nanos
		total += nanos
	}
	var out []stageCost
	for n, t := range times {
		if t > 0 {
			share := float64(t) / float64(total)
			out = append(out, stageCost{stageTable[n].name, share, share * millis})
		}
	}
	slices.SortFunc(out, func(a, b stageCost) int { return cmp.Compare(b.Share, a.Share) })
	return out, nil
}

func stagesText(stages []stageCost) string {
	var b strings.Builder
	if len(stages) > 0 {
		b.WriteString("the gateway's, by stage:\n")
	}
	for _, s := range stages {
		fmt.Fprintf(&b, "  %5.1f %%  %.3f ms  %s\n", 100*s.Share, s.Millis, s.Stage)
	}
	return b.String()
}
