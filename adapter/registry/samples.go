package registry

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"mezhved/adapter/yamlfile"
	"mezhved/envelopes/xmltape"
	"mezhved/xsd"
)

// refusedSample ends the name of a sample that shows what is refused.
const refusedSample = "-refused"

// checkSamples looks at the documents of a service's folder "samples". One whose name
// begins with request or response has that root, any other has one of the two. It is
// content as the gateway would take it, and a request's routing code is in the table;
// request-refused.xml and the like show what would be refused.
func checkSamples(s *Service, dir string) (found yamlfile.Findings) {
	names, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return yamlfile.Findings{{File: dir, Sample: true, Text: errors.Unwrap(err).Error()}}
	}
	for _, n := range names {
		if n.IsDir() || hidden(n.Name()) || filepath.Ext(n.Name()) != ".xml" {
			continue
		}
		file := filepath.Join(dir, n.Name())
		base := strings.TrimSuffix(n.Name(), ".xml")
		wrong, refused := checkSample(s, file, base)
		switch {
		case strings.HasSuffix(base, refusedSample) && refused:
		case strings.HasSuffix(base, refusedSample) && len(wrong) == 0:
			one := yamlfile.NewFinding(file, "", "is there to show what is refused, and nothing is wrong with it")
			one.Sample = true
			found = append(found, one)
		default:
			found = append(found, wrong...)
		}
	}
	return found
}

// checkSample gives what is wrong with a sample. refused says that a gateway would say
// so too: what cannot be read, or stands under the wrong name, shows nothing.
func checkSample(s *Service, file, base string) (found yamlfile.Findings, refused bool) {
	say := func(line, col int, format string, args ...any) {
		one := yamlfile.NewFinding(file, "", format, args...)
		one.Line, one.Col, one.Sample = line, col, true
		found = append(found, one)
	}
	src, err := os.ReadFile(file)
	if err != nil {
		say(0, 0, "%v", errors.Unwrap(err))
		return found, false
	}
	var tape xmltape.Tape
	var bad *xmltape.Error
	if err := tape.Parse(src, xmltape.Limits{}); errors.As(err, &bad) {
		say(bad.Line, bad.Col, "%s: %v", bad.Code, yamlfile.Both(bad.Detail, bad.Russian()))
		return found, true
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
		return found, false
	}
	var invalid *xsd.Invalid
	if _, err := s.Validate(content); errors.As(err, &invalid) {
		for _, v := range invalid.Violations {
			say(v.Line, v.Col, "%s: %v", v.Rule, yamlfile.Both(v.English(), v.Russian()))
		}
		return found, true
	}
	if root == s.Request {
		if _, err := s.Route(content); err != nil {
			say(line, col, "%v", err)
			return found, true
		}
	}
	return found, false
}
