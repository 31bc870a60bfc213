package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/party"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
	"mezhved/xsd"
)

type benchCmd struct {
	Pipeline benchPipelineCmd `cmd:"" help:"Parse, verify and validate one message in a loop, in process."`
	Accept   benchAcceptCmd   `cmd:"" help:"Drive a gateway over HTTP with signed requests."`
	Exchange benchExchangeCmd `cmd:"" help:"Drive a gateway over HTTP with whole exchanges."`
	Message  benchMessageCmd  `cmd:"" help:"Make signed messages of a size, for the pipeline."`
	Compare  benchCompareCmd  `cmd:"" help:"Compare the gateways of two builds, in turns."`
	Read     benchReadCmd     `cmd:"" help:"Ask a filled store and a new one what people and monitors look at."`
	Fill     benchFillCmd     `cmd:"" help:"Make a folder whose store has served for weeks."`
}

// benchSizes are the sizes of the messages, in the names of their files.
var benchSizes = map[string]int{"4k": 4 << 10, "40k": 40 << 10, "200k": 200 << 10}

type benchMessageCmd struct {
	Out  string   `default:"." placeholder:"DIR" help:"Folder for the messages."`
	Size []string `default:"4k,40k,200k" enum:"4k,40k,200k" help:"Sizes."`
	Key  []string `default:"ecdsa-p256,rsa-2048" help:"Types of test keys to sign with: ecdsa-p256, rsa-2048, gost-2012-256, ..."`
}

func (benchMessageCmd) Help() string {
	return `The messages are answers of the real estate register with as many rights as the size asks for, signed with
fresh test keys.

Example:
  mezhved bench message --out messages
  mezhved bench pipeline --message messages/rsa-2048-40k.xml --services testdata/services`
}

func (c *benchMessageCmd) Run(ctx context.Context, out *stdio) error {
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return usage(err)
	}
	for _, key := range c.Key {
		id, err := signing.SelfSigned(signing.TestSubject{CommonName: "bench", Key: signing.KeyType(key)}, time.Now())
		if err != nil {
			return usage(err)
		}
		signer, err := id.Signer()
		if err != nil {
			return err
		}
		for _, size := range c.Size {
			doc, err := benchMessage(ctx, benchSizes[size], signer)
			if err != nil {
				return err
			}
			name := filepath.Join(c.Out, key+"-"+size+".xml")
			if err := os.WriteFile(name, doc, 0o644); err != nil {
				return usage(err)
			}
			fmt.Fprintf(out.out, "%s %d bytes\n", name, len(doc))
		}
	}
	return nil
}

// benchMessage makes a signed SendResponse of about n bytes.
func benchMessage(ctx context.Context, n int, signer signing.Signer) ([]byte, error) {
	const overhead = 3 << 10 // envelope and signature
	sample := sample("egrn-extract", "1.1.0", "response")
	from := bytes.Index(sample, []byte("<e:Right "))
	to := bytes.Index(sample[from:], []byte("</e:Right>")) + from + len("</e:Right>\n")
	right, tail := sample[from:to], []byte("</e:ExtractResponse>")
	content := slices.Clone(sample[:from])
	for i := 1; len(content)+len(right)+overhead <= n || i == 1; i++ {
		content = append(content, bytes.Replace(right, []byte("2019-1"), []byte(fmt.Sprintf("2019-%d", i)), 1)...)
	}
	var tape xmltape.Tape
	if err := tape.Parse(append(content, tail...), xmltape.Limits{}); err != nil {
		return nil, err
	}
	call := envelopes.SendResponseCall{MessageID: party.NewMessageID(time.Now()), To: strings.Repeat("A", 300), Content: tape.Root()}
	draft := call.Build(envelopes.V12, false)
	return signing.SignInto(ctx, draft.XML, draft.SignID, draft.Slot, signer)
}

type benchPipelineCmd struct {
	Message  string `required:"" type:"existingfile" help:"Signed SMEV call (SOAP envelope)."`
	Services string `required:"" type:"existingdir" help:"Services folder, whose schemas are tried."`
	N        int    `short:"n" help:"Repetitions of each stage; default: about a second's worth."`
	JSON     bool   `name:"json" help:"Print JSON."`
}

func (benchPipelineCmd) Help() string {
	return `Prints microseconds per message, MB/s and allocations per message of each stage, on one core.

Example:
  mezhved bench pipeline --message messages/rsa-2048-40k.xml --services testdata/services --json`
}

// stage is the measurement of one stage.
type stage struct {
	Name   string  `json:"stage"`
	Micros float64 `json:"microsPerMessage"`
	MBs    float64 `json:"mbPerSecond"`
	Allocs float64 `json:"allocsPerMessage"`
	Bytes  float64 `json:"allocBytesPerMessage"`
}

func (c *benchPipelineCmd) Run(out *stdio) error {
	src, err := os.ReadFile(c.Message)
	if err != nil {
		return usage(err)
	}
	p, err := newPipeline(src, c.Services)
	if err != nil {
		return usage(err)
	}
	runtime.GOMAXPROCS(1)
	var stages []stage
	for _, s := range []struct {
		name string
		run  func() error
	}{{"parse", p.parse}, {"verify", p.verify}, {"decode", p.decode}, {"validate", p.validate}, {"whole", p.whole}} {
		one, err := measure(s.name, len(src), c.N, s.run)
		if err != nil {
			return no(fmt.Errorf("%s: %w", s.name, err))
		}
		stages = append(stages, one)
	}
	if c.JSON {
		return printJSON(out.out, map[string]any{
			"message": c.Message, "bytes": len(src), "algorithm": string(p.signed.Algorithm()), "service": p.folder, "stages": stages,
			"microsPerMessage": stages[len(stages)-1].Micros, "allocsPerMessage": stages[len(stages)-1].Allocs,
		})
	}
	fmt.Fprintf(out.out, "%s, %d bytes, %s, schema of %s, one core\n", c.Message, len(src), p.signed.Algorithm(), p.folder)
	rows := [][]string{{"STAGE", "µs/message", "MB/s", "allocs", "bytes"}}
	for _, s := range stages {
		rows = append(rows, []string{s.Name, fmt.Sprintf("%.1f", s.Micros), fmt.Sprintf("%.0f", s.MBs), fmt.Sprintf("%.1f", s.Allocs), fmt.Sprintf("%.0f", s.Bytes)})
	}
	return table(out.out, rows)
}

// pipeline is what happens to a message between the door and the commit, with
// the same parts as in the gateway.
type pipeline struct {
	src       []byte
	tape      xmltape.Tape
	envelope  *envelopes.Envelope
	verifier  *signing.Verifier
	signed    signing.Signed
	content   xmltape.Node
	validator *xsd.Validator
	folder    string
}

func newPipeline(src []byte, services string) (*pipeline, error) {
	p := &pipeline{src: src}
	var err error
	if p.verifier, err = signing.NewVerifier(signing.Options{}); err != nil {
		return nil, err
	}
	if err := errors.Join(p.parse(), p.verify(), p.decode()); err != nil {
		return nil, err
	}
	folders, err := filepath.Glob(filepath.Join(services, "*", "*"))
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		files, _ := filepath.Glob(filepath.Join(folder, "*.xsd"))
		if len(files) == 0 {
			continue
		}
		for i := range files {
			files[i] = filepath.Base(files[i])
		}
		schema, err := xsd.Compile(os.DirFS(folder), files, xsd.Options{})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", folder, err)
		}
		if schema.HasElement(p.content.Space(), p.content.Local()) {
			p.validator, p.folder = schema.NewValidator(), folder
			return p, p.validate()
		}
	}
	return nil, fmt.Errorf("no schema under %s has the element {%s}%s", services, p.content.Space(), p.content.Local())
}

func (p *pipeline) parse() (err error) {
	p.envelope, err = envelopes.Parse("text/xml; charset=utf-8", p.src, &p.tape, envelopes.Limits{})
	return err
}

func (p *pipeline) verify() (err error) {
	sig, target := p.envelope.Caller()
	p.signed, err = p.verifier.Verify(sig, target)
	return err
}

func (p *pipeline) decode() error {
	if p.envelope.Operation() == envelopes.SendResponse {
		call, err := envelopes.DecodeSendResponse(p.envelope, p.signed)
		if err == nil {
			p.content = call.Content
		}
		return err
	}
	call, err := envelopes.DecodeSendRequest(p.envelope, p.signed)
	if err == nil {
		p.content = call.Content
	}
	return err
}

func (p *pipeline) validate() error { return p.validator.Validate(p.content) }

func (p *pipeline) whole() error {
	if err := p.parse(); err != nil {
		return err
	}
	if err := p.verify(); err != nil {
		return err
	}
	if err := p.decode(); err != nil {
		return err
	}
	return p.validate()
}

// measure runs f n times, or for about a second, in five rounds of which the
// fastest counts.
func measure(name string, size, n int, f func() error) (stage, error) {
	start := time.Now()
	if err := f(); err != nil {
		return stage{}, err
	}
	if n <= 0 {
		once := max(time.Since(start), time.Microsecond)
		n = int(min(max(time.Second/once, 10), 1_000_000))
	}
	var failure error
	perRun := testing.AllocsPerRun(min(n, 100), func() { failure = errors.Join(failure, f()) })
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const rounds = 5 // the fastest counts: the others had to share the core
	best := time.Duration(math.MaxInt64)
	part := max(n/rounds, 1)
	for range rounds {
		start = time.Now()
		for range part {
			if err := f(); err != nil {
				return stage{}, err
			}
		}
		best = min(best, time.Since(start))
	}
	runtime.ReadMemStats(&after)
	micros := float64(best.Nanoseconds()) / 1000 / float64(part)
	return stage{
		Name: name, Micros: micros, MBs: float64(size) / micros, Allocs: perRun,
		Bytes: float64(after.TotalAlloc-before.TotalAlloc) / float64(rounds*part),
	}, failure
}
