package adapter

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"mezhved/envelopes"
)

// remoteHost is the caller's address without its port.
func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

var hostForm = regexp.MustCompile(`^[A-Za-z0-9.\-]+(:[0-9]{1,5})?$|^\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?$`)

// base is the address under which the caller reached us. A Host header that is
// no host is not repeated.
func (g *Gateway) base(r *http.Request) string {
	if g.config.URL != "" {
		return strings.TrimRight(g.config.URL, "/")
	}
	host := r.Host
	if !hostForm.MatchString(host) {
		host = g.config.Listen
	}
	if r.TLS != nil {
		return "https://" + host
	}
	return "http://" + host
}

// serveDescription answers GET on a door: its WSDL, or how to get it.
func (g *Gateway) serveDescription(v envelopes.Version) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, asked := r.URL.Query()["wsdl"]; !asked {
			if _, asked = r.URL.Query()["WSDL"]; !asked && !strings.HasSuffix(r.URL.Path, ".wsdl") {
				w.Header().Set("Allow", "GET, HEAD, POST")
				http.Error(w, "This is a SOAP 1.1 door: POST an envelope, or GET "+r.URL.Path+"?wsdl for its description.", http.StatusMethodNotAllowed)
				return
			}
		}
		described := v
		if v == anyVersion {
			described = envelopes.V12
		}
		writeXML(w, envelopes.WSDL(described, g.base(r)+r.URL.Path))
	}
}

// serveDocument answers GET beside a door: the schemas that the WSDL refers to
// by relative location, and the WSDL under its file name.
func (g *Gateway) serveDocument(w http.ResponseWriter, r *http.Request) {
	name := chi.URLParam(r, "file")
	if doc, ok := envelopes.Document(name); ok {
		writeXML(w, doc)
		return
	}
	for _, v := range envelopes.Versions {
		if name == envelopes.WSDLName(v) {
			writeXML(w, envelopes.WSDL(v, g.base(r)+"/smev/v"+v.String()+"/ws"))
			return
		}
	}
	http.NotFound(w, r)
}

func writeXML(w http.ResponseWriter, doc []byte) {
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.Write(doc)
}

// serveHealth says that the process answers; it looks at nothing else.
func (g *Gateway) serveHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "ok")
}

// serveReadiness says whether calls would be accepted now. That the bus is away,
// or that something stands still, is told ("degraded") but is no reason to send
// callers elsewhere: accepts go on, and every other node would say the same.
// Only what makes this node refuse has the status 503.
func (g *Gateway) serveReadiness(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	catalog := g.Catalog()
	state := struct {
		Ready    bool    `json:"ready"`
		State    string  `json:"state"` // ready, degraded, unavailable
		Draining bool    `json:"draining,omitempty"`
		Store    string  `json:"store"`
		Bus      string  `json:"bus"`
		Journal  string  `json:"journal"`
		Clock    string  `json:"clock"`
		Why      string  `json:"why,omitempty"` // store or journal is not ok
		Standing []Still `json:"standing"`
		Services int     `json:"services"`
		Parties  int     `json:"parties"`
		Registry string  `json:"registry"` // Catalog.Likeness, for routers
	}{
		Draining: g.draining.Load(), State: "ready", Store: "ok", Bus: "ok", Journal: "ok", Clock: "ok",
		Standing: g.stillNow(), Services: len(catalog.Services()), Parties: len(catalog.Parties()), Registry: catalog.Likeness,
	}
	state.Ready = !state.Draining
	if err := g.store.Health(ctx); err != nil {
		g.log.Warn("not ready: the store does not commit", "error", err)
		state.Ready, state.Store = false, "unavailable"
		state.Why = "the database does not commit; the log says with what error, mezhved doctor tries it"
	}
	if err := g.rooms.Clock.Trusted(); err != nil {
		g.log.Warn("not ready: the time cannot be relied on", "error", err)
		state.Ready, state.Clock = false, err.Error()
	} else if err := g.writable(); err != nil {
		g.log.Warn("not ready: the journal cannot be written", "error", err)
		state.Ready, state.Journal = false, "unavailable"
		if state.Why == "" { // else an error of the database, which is for the log
			state.Why = err.Error()
		}
	}
	if err := g.busLook.health(ctx, g.broker); err != nil {
		g.log.Warn("the bus is away; accepted messages wait in the outbox", "error", err)
		state.Bus = "unavailable"
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case !state.Ready:
		state.State = "unavailable"
		w.Header().Set("Retry-After", "5")
		w.WriteHeader(http.StatusServiceUnavailable)
	case state.Bus != "ok" || len(state.Standing) > 0:
		state.State = "degraded"
	}
	json.NewEncoder(w).Encode(state)
}

// busLook is what the bus said of itself last. Anybody may ask whether a node is ready, as often
// as he likes: one of all who do asks the bus, and its answer is good for busAge.
type busLook struct {
	mu  sync.Mutex
	at  time.Time // zero: it was not asked yet
	err error
}

const busAge = 250 * time.Millisecond // as long as the store's answer is

func (l *busLook) health(ctx context.Context, b Broker) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.at.IsZero() && time.Since(l.at) < busAge {
		return l.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second) // others wait for it, whoever hangs up
	defer cancel()
	l.err = b.Health(ctx)
	l.at = time.Now()
	return l.err
}

// serveFront tells a person who opened the address in a browser where they are.
func (g *Gateway) serveFront(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	base := g.base(r)
	fmt.Fprintf(w, "Межвед: шлюз межведомственного обмена, узел %s\n\n", g.config.Node)
	fmt.Fprintln(w, "Адреса обмена (SOAP 1.1, POST; описание: GET с ?wsdl):")
	for _, v := range envelopes.Versions {
		fmt.Fprintf(w, "  %s/smev/v%s/ws\n", base, v)
	}
	fmt.Fprintf(w, "  %s/ws  (любая версия, по содержимому конверта)\n\n", base)
	fmt.Fprintf(w, "Подпись ЭП-ОВ обязательна; сертификат должен быть зарегистрирован у оператора узла.\n")
	fmt.Fprintf(w, "Предельный размер сообщения: %d байт, вложений в сообщении: %d байт.\n", g.limits().Body, g.limits().Attachments)
	if g.rooms.Files != nil {
		fmt.Fprintf(w, "Файлы большего размера: через файловое хранилище (FTP, вход anonymous), в сообщении не более %d байт.\n", g.config.Files.Message)
	}
	if g.rooms.Objects != nil {
		fmt.Fprintf(w, "То же хранилище для клиентов S3: %s, бакет attachment, ключи <uuid>/<имя файла>.\n", base)
	}
	fmt.Fprintf(w, "Сообщение выдаётся повторно, если не подтверждено за %s.\n", g.config.Queues.Lease.D())
	fmt.Fprintf(w, "Опрос с ожиданием: заголовок Prefer: wait=N, не более %d секунд.\n\n", int(g.config.Queues.LongPoll.D().Seconds()))
	fmt.Fprintf(w, "Состояние: %s/healthz, %s/readyz, %s/metrics\n", base, base, base)
}
