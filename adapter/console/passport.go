package console

import (
	"net/http"
	"net/url"
	"path/filepath"

	"github.com/go-chi/chi/v5"

	"mezhved/adapter/lifecycle/passport"
)

// servePassport serves the passport of a version of a service: a page complete in
// itself, which is printed or saved as it is, and so has its style inside it.
func (c *Console) servePassport(w http.ResponseWriter, r *http.Request) {
	who, ok := c.bearer(r)
	if !ok {
		c.redirect(w, r, "/console/login?next="+url.QueryEscape(r.URL.RequestURI()))
		return
	}
	page, err := c.passport(r)
	if err != nil {
		p := c.known(r, err)
		c.render(w, r, p.Status, "problem", who, p)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src "+passport.StyleSource()+"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page)
}

func (c *Console) passport(r *http.Request) ([]byte, error) {
	g := c.Gateway()
	catalog, config := g.Catalog(), g.Config()
	s := catalog.Service(chi.URLParam(r, "name"), chi.URLParam(r, "version"))
	if s == nil {
		return nil, problem(http.StatusNotFound, Text{"Вида сведений %q версии %q нет.", "There is no service %q of version %q."}, clipped(chi.URLParam(r, "name"), 80), clipped(chi.URLParam(r, "version"), 80))
	}
	address := config.URL
	if address == "" {
		scheme := "http"
		if r.TLS != nil {
			scheme = "https"
		}
		address = scheme + "://" + r.Host
	}
	p, err := passport.Of(catalog, s, filepath.Join(config.Services, s.Name, s.Version), address)
	if err != nil {
		return nil, err
	}
	return p.HTML()
}
