package console

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// axeScript finds axe-core, which looks for what keeps people from using a page.
func axeScript(t *testing.T) []byte {
	t.Helper()
	places := []string{os.Getenv("MEZHVED_AXE")}
	if root, err := exec.Command("npm", "root", "-g").Output(); err == nil {
		places = append(places, filepath.Join(strings.TrimSpace(string(root)), "axe-core", "axe.min.js"))
	}
	for _, place := range places {
		if script, err := os.ReadFile(place); err == nil {
			return script
		}
	}
	t.Skip("axe-core is not here (npm install -g axe-core, or MEZHVED_AXE=axe.min.js): nobody looks whether everybody can use the pages")
	return nil
}

// Everybody can use the desk: axe-core finds nothing serious on any page, wide and
// narrow, and no page is wider than its window.
func TestEverybodyCanUseThePages(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed: the pages cannot be opened here")
	}
	script := axeScript(t)
	d := openDesk(t)
	id := d.exchange()
	d.refused(broken("нет"))
	d.worked(4)
	paths := []string{"/console/", "/console/late", "/console/alarms", "/console/search?sender=MUNI", "/console/trace/" + id, "/console/queues", "/console/services", "/console/health", "/console/shadow", "/console/parties", "/console/entry/0",
		"/console/reports/service", "/console/reports/party", "/console/reports/quality", "/console/reports/lateness", "/console/reports/rating"}
	to, err := url.Parse(d.site.URL)
	d.must(err)
	// The pages come through a door that knows the token; what looks at them is a page
	// round them, in which each stands in a frame of the width that is wanted.
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Header.Set("Authorization", "Bearer "+operatorToken)
		r.Out.AddCookie(&http.Cookie{Name: languageCookie, Value: "ru"})
		r.Out.Header.Del("Sec-Fetch-Site")
	}, ModifyResponse: func(r *http.Response) error {
		r.Header.Del("Content-Security-Policy")
		r.Header.Del("X-Frame-Options")
		return nil
	}}
	list, err := json.Marshal(paths)
	d.must(err)
	looks := `<!doctype html><title>axe</title><body><script>
(async () => {
  const got = [];
  for (const width of [1366, 390]) for (const path of ` + string(list) + `) {
    const frame = document.createElement('iframe');
    frame.style = 'border:0;height:900px;width:' + width + 'px';
    const loaded = new Promise(done => frame.onload = done);
    frame.src = path;
    document.body.append(frame);
    await loaded;
    const inside = frame.contentDocument, own = inside.createElement('script');
    const ready = new Promise(done => own.onload = done);
    own.src = '/axe.js';
    inside.head.append(own);
    await ready;
    const result = await frame.contentWindow.axe.run(inside, { resultTypes: ['violations'] });
    for (const v of result.violations) if (v.impact === 'serious' || v.impact === 'critical')
      for (const n of v.nodes) got.push(width + ' ' + path + ': ' + v.id + ': ' + n.target.join(' ') + ' ' + n.html.slice(0, 200) + ' ' + (n.any[0] || n.all[0] || n.none[0] || {}).message);
    if (inside.documentElement.scrollWidth > width) got.push(width + ' ' + path + ': the page is ' + inside.documentElement.scrollWidth + ' wide');
    got.push('looked at ' + width + ' ' + path);
    frame.remove();
  }
  return got;
})().catch(e => [String(e)]).then(got => fetch('/got', { method: 'POST', body: JSON.stringify(got) }));
</script>`
	found := make(chan []string, 1)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/looks":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Write([]byte(looks))
		case "/axe.js":
			w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
			w.Write(script)
		case "/got":
			var got []string
			if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
				got = []string{err.Error()}
			}
			found <- got
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	defer site.Close()
	ctx, cancel := context.WithCancel(context.Background())
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--remote-debugging-port=0", "--user-data-dir="+t.TempDir(), site.URL+"/looks") // the port keeps it open
	cmd.WaitDelay, cmd.Stderr = time.Second, &said
	d.must(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var got []string
	select {
	case got = <-found:
	case err := <-ended:
		cancel()
		t.Skipf("chromium does not run here: %v\n%s", err, &said)
	case <-time.After(5 * time.Minute):
		cancel()
		t.Fatal("nothing was said of the pages")
	}
	cancel()
	<-ended
	looked := 0
	for _, line := range got {
		if strings.HasPrefix(line, "looked at ") {
			looked++
			continue
		}
		t.Error(line)
	}
	if looked != 2*len(paths) {
		t.Errorf("%d pages were looked at, want %d", looked, 2*len(paths))
	}
}
