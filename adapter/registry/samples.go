package registry

import (
	"errors"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mezhved/adapter/lifecycle/protocol"
	"mezhved/adapter/yamlfile"
	"mezhved/envelopes/xmltape"
	"mezhved/xsd"
)

// checkSamples looks at the samples and reference messages of a version's folder. One
// whose name begins with request or response has that root, any other has one of the
// two. It is content as the gateway would take it, and a request's routing code is in
// the table; a negative one would be refused, by the rule that it names.
func checkSamples(s *Service, dir string, day time.Time) (found yamlfile.Findings) {
	texts, flaws := protocol.ReadTexts(dir)
	for _, f := range flaws {
		found = append(found, sampleFinding(dir, f.File, "%v", yamlfile.Both(f.English, f.Russian)))
	}
	for i := range texts {
		t := &texts[i]
		if s.Probe != nil && s.Probe.file == t.File {
			continue // it was looked at: a gateway sends it
		}
		wrong, rules := checkSample(s, dir, day, t)
		if t.Answer != nil {
			more, _ := checkSample(s, dir, day, t.Answer)
			wrong = append(wrong, more...)
		}
		switch {
		case t.Kind != protocol.Negative || len(wrong) > 0 && len(rules) == 0:
			found = append(found, wrong...)
		case len(wrong) == 0:
			found = append(found, sampleFinding(dir, t.File, "is there to show what is refused, and nothing is wrong with it"))
		case !slices.ContainsFunc(rules, t.RefusedBy):
			found = append(found, sampleFinding(dir, t.File, "must be refused by %s, and is refused by %s", t.Rule, strings.Join(rules, ", ")))
		}
	}
	return found
}

func sampleFinding(dir, file, format string, args ...any) yamlfile.Finding {
	one := yamlfile.NewFinding(filepath.Join(dir, filepath.FromSlash(file)), "", format, args...)
	one.Sample = true
	return one
}

// noRoute is the fault by which content is refused that has no recipient.
const noRoute = "RecipientIsNotFound"

// checkSample gives what is wrong with a sample. rules are those by which a gateway
// would refuse it: what stands under the wrong name shows nothing.
func checkSample(s *Service, dir string, day time.Time, t *protocol.Text) (found yamlfile.Findings, rules []string) {
	say := func(line, col int, format string, args ...any) {
		one := sampleFinding(dir, t.File, format, args...)
		one.Line, one.Col = line, col
		found = append(found, one)
	}
	base := path.Base(t.File)
	var tape xmltape.Tape
	var bad *xmltape.Error
	if err := tape.Parse(t.Content, xmltape.Limits{}); errors.As(err, &bad) {
		say(bad.Line, bad.Col, "%s: %v", bad.Code, yamlfile.Both(bad.Detail, bad.Russian()))
		return found, []string{"xml." + string(bad.Code)}
	}
	content := tape.Root()
	start, _ := content.Range()
	line, col := tape.Position(start)
	roots := []QName{s.Request, s.Response}
	switch {
	case strings.HasPrefix(base, "request"):
		roots = roots[:1]
	case strings.HasPrefix(base, "response"):
		roots = roots[1:]
	}
	root, known := QName{content.Space(), content.Local()}, false
	for _, one := range roots {
		known = known || one == root && one.Local != ""
	}
	if !known {
		switch {
		case len(roots) == 1 && roots[0].Local == "":
			say(line, col, "a broadcast has no response")
		case len(roots) == 1:
			say(line, col, "the root is %s, here %s is expected", root, roots[0])
		default:
			say(line, col, "the root is %s, which is neither the request nor the response of the service", root)
		}
		return found, nil
	}
	var invalid *xsd.Invalid
	if _, err := s.Validate(content); errors.As(err, &invalid) {
		for _, v := range invalid.Violations {
			say(v.Line, v.Col, "%s: %v", v.Rule, yamlfile.Both(v.English(), v.Russian()))
			rules = append(rules, v.Rule)
		}
		return found, rules
	}
	codes := s.ResponseCodes
	if root == s.Request {
		codes = s.RequestCodes
	}
	var code *CodeError
	if errors.As(CheckCodes(codes, content, day), &code) {
		off, _ := code.At.Range()
		line, col := tape.Position(off)
		say(line, col, "dictionary: %v", yamlfile.Both(code.Error(), code.Russian()))
		return found, []string{"dictionary"}
	}
	if root == s.Request {
		if _, err := s.Route(content); err != nil {
			say(line, col, "%v", err)
			return found, []string{noRoute}
		}
	}
	return found, nil
}
