package adapter_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mezhved/adapter/adaptertest"
)

// openMetrics is the form in which Prometheus asks for metrics with examples.
const openMetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8"

func metricsAs(w *adaptertest.World, accept string) (contentType, text string) {
	w.T.Helper()
	req, err := http.NewRequest(http.MethodGet, w.URL+"/metrics", nil)
	if err != nil {
		w.T.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	answer, err := w.HTTP.Do(req)
	if err != nil {
		w.T.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		w.T.Fatal(err)
	}
	return answer.Header.Get("Content-Type"), string(body)
}

// Examples stand in the form that has room for them, to whoever asks for that form; they
// bear a trace id and nothing else, and are few.
func TestExamplesOfStages(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	muni := w.Party("MUNI").Traced("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
	for range 50 {
		accepted(t, muni.Send(request(adaptertest.Extract1)))
	}
	kind, plain := metricsAs(w, "text/plain")
	if !strings.HasPrefix(kind, "text/plain") || strings.Contains(plain, "trace_id") {
		t.Errorf("a reader of the plain form is given %s, with examples: %t", kind, strings.Contains(plain, "trace_id"))
	}
	kind, open := metricsAs(w, openMetrics)
	if !strings.HasPrefix(kind, "application/openmetrics-text") || !strings.HasSuffix(open, "# EOF\n") {
		t.Errorf("a reader of OpenMetrics is given %s", kind)
	}
	form := regexp.MustCompile(`^mezhved_stage_seconds_bucket\{stage="[a-z]+",le="[^"]+"\} \d+ # \{trace_id="0af7651916cd43dd8448eb211c80319c"\} [0-9.e+-]+( [0-9.e+]+)?\n$`)
	found := 0
	for line := range strings.Lines(open) {
		if strings.Contains(line, " # ") {
			if found++; !form.MatchString(line) {
				t.Errorf("an example of another form: %q", line)
			}
		}
	}
	if found == 0 {
		t.Error("there is no example")
	}
}

// Prometheus itself reads them, and gives the trace id of a slow call back.
func TestPrometheusReadsExamples(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("prometheus is not installed (Debian: apt-get install prometheus): whether it reads the examples is not tried")
	}
	w := adaptertest.Start(t)
	accepted(t, w.Party("MUNI").Traced("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00").Send(request(adaptertest.Extract1)))
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	at, err := url.Parse(w.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, fmt.Appendf(nil, "scrape_configs:\n- {job_name: mezhved, scrape_interval: 1s, static_configs: [{targets: ['%s']}]}\n", at.Host), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	cmd := exec.Command(program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--enable-feature=exemplar-storage", "--log.level=warn")
	said := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Log(said)
		}
	}()
	ask := func(path string, into any) bool {
		answer, err := http.Get("http://" + address + path)
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		return json.NewDecoder(answer.Body).Decode(into) == nil
	}
	w.Eventually("Prometheus has the example", func() bool {
		var got struct {
			Data []struct {
				Exemplars []struct{ Labels map[string]string }
			}
		}
		if !ask("/api/v1/query_exemplars?start=0&end=9999999999&query="+url.QueryEscape(`mezhved_stage_seconds_bucket{stage="accept"}`), &got) {
			return false
		}
		for _, series := range got.Data {
			for _, e := range series.Exemplars {
				if len(e.Labels) == 1 && e.Labels["trace_id"] == "0af7651916cd43dd8448eb211c80319c" {
					return true
				}
			}
		}
		return false
	})
	var targets struct {
		Data struct {
			ActiveTargets []struct{ Health, LastError string }
		}
	}
	if !ask("/api/v1/targets", &targets) || len(targets.Data.ActiveTargets) != 1 || targets.Data.ActiveTargets[0].Health != "up" {
		t.Errorf("the scrape: %+v", targets)
	}
}
