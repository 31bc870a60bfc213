package console

import (
	"net/http/httputil"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

func TestZZShots(t *testing.T) {
	dir := os.Getenv("SHOTS")
	if dir == "" {
		t.Skip("no SHOTS")
	}
	d := openDesk(t)
	d.exchange()
	d.worked(50)
	u, _ := url.Parse(d.site.URL)
	p := httputil.NewSingleHostReverseProxy(u)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+operatorToken)
		r.AddCookie(&http.Cookie{Name: languageCookie, Value: "ru"})
		p.ServeHTTP(w, r)
	}))
	defer s.Close()
	shot := func(name, address string, w, h string) {
		os.RemoveAll(dir + "/profile")
		out, err := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--user-data-dir="+dir+"/profile", "--window-size="+w+","+h, "--screenshot="+dir+"/"+name+".png", address).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v %s", name, err, out)
		}
	}
	for _, k := range []string{"service", "party", "quality", "lateness", "rating"} {
		shot(k+"-1366", s.URL+"/console/reports/"+k+"?from=2026-12-01", "1366", "2600")
	}
	for _, k := range []string{"service", "lateness"} {
		b := d.ask(operatorToken, "/api/v1/reports/"+k+"?form=html&from=2026-12-01", nil).body
		os.WriteFile(dir+"/"+k+".html", b, 0o644)
		shot(k+"-print", "file://"+dir+"/"+k+".html", "1200", "2200")
	}
	// Narrow windows have a least width of 500 in headless mode: a frame of 390.
	for _, k := range []string{"service", "party", "quality", "lateness", "rating"} {
		src := "/console/reports/" + k + "?from=2026-12-01"
		page := `<body style="margin:0;display:flex;gap:10px;height:1500px;overflow:hidden">`
		for i := range 3 {
			page += `<div style="width:390px;height:1500px;overflow:hidden"><iframe style="border:0;width:390px;height:4500px;margin-top:-` + strconv.Itoa(1500*i) + `px" src="` + src + `"></iframe></div>`
		}
		f := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/frame" {
				w.Header().Set("Content-Type", "text/html")
				w.Write([]byte(page))
				return
			}
			rec := httptest.NewRecorder()
			r.Header.Set("Authorization", "Bearer "+operatorToken)
			r.AddCookie(&http.Cookie{Name: languageCookie, Value: "ru"})
			p.ServeHTTP(rec, r)
			for k, v := range rec.Header() {
				if k != "Content-Security-Policy" && k != "X-Frame-Options" {
					w.Header()[k] = v
				}
			}
			w.WriteHeader(rec.Code)
			w.Write(rec.Body.Bytes())
		}))
		shot(k+"-390", f.URL+"/frame", "1190", "1500")
		f.Close()
	}
}
