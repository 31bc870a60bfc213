package console

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/remote"
	"mezhved/adapter/postgres"
	"mezhved/adapter/terms"
	"mezhved/adapter/vault"
	"mezhved/signing"
)

// Rooms are what the desk looks into. Gateway, Store, Probes, Impact, Tokens, Log and Now
// are needed.
type Rooms struct {
	// Gateway gives the gateway whose desk this is. It is asked only while a
	// question is answered, so it may be set after the desk is mounted.
	Gateway func() *adapter.Gateway
	Store   adapter.Store
	Content *postgres.Store // for erasing; nil: this node has no keys of content
	Alarms  Alarms          // nil: there are none
	Probes  Probes          // what probes have found
	Impact  Impact          // what schemas would do
	// AlarmRules are the names of the rules in force, one of which is muted; nil, or
	// nothing of it: this node does not know them, and any name is taken.
	AlarmRules func() []string
	// Journal and Policy are nil on a node that does not keep the journal: its
	// desk shows queues, services and parties and sends auditors elsewhere.
	Journal  *postgres.Journal
	Policy   *journal.Policy   // under which evidence is given out
	Cosigned bool              // proofs are given only under checkpoints that witnesses have cosigned
	Verifier *signing.Verifier // explains refused signatures; default: one that checks signatures alone
	Tokens   []Token
	Log      *slog.Logger
	Now      func() time.Time
	Zone     *time.Location // in which pages show times unless the reader asks for UTC; default: Moscow
}

// Console is the desk. It is safe for concurrent use.
type Console struct {
	Rooms
	pages    *pages
	tokens   atomic.Pointer[[]Token] // who may enter
	heads    dueCache
	counting chan struct{} // held while a report of figures is made
}

// New puts a desk together.
func New(r Rooms) (*Console, error) {
	switch {
	case r.Gateway == nil, r.Store == nil, r.Probes == nil, r.Impact == nil, r.Log == nil, r.Now == nil:
		return nil, errors.New("console: gateway, store, probes, impact, log and clock are needed")
	case len(r.Tokens) == 0:
		return nil, errors.New("console: without tokens nobody could enter")
	case (r.Journal == nil) != (r.Policy == nil):
		return nil, errors.New("console: journal and policy go together")
	}
	if r.Verifier == nil {
		v, err := signing.NewVerifier(signing.Options{SignatureOnly: true})
		if err != nil {
			return nil, fmt.Errorf("console: %w", err)
		}
		r.Verifier = v
	}
	if r.Zone == nil {
		r.Zone = terms.Moscow
	}
	c := &Console{Rooms: r, counting: make(chan struct{}, 1)}
	c.ReplaceTokens(r.Tokens)
	c.Rooms.Tokens = nil // they are in tokens
	c.pages = c.preparePages()
	return c, nil
}

//go:embed openapi.json
var openAPI []byte

//go:embed static
var static embed.FS

// Mount opens the desk's doors on a router.
func (c *Console) Mount(r Doors) {
	// Requests of other sites' pages that would change something are refused,
	// whatever credentials the browser adds.
	foreign := http.NewCrossOriginProtection()
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	r.Group(func(r chi.Router) {
		r.Use(guarded, foreign.Handler)
		r.Get("/api/openapi.json", c.serveDescription)
		r.Get("/console/static/*", http.StripPrefix("/console/static/", http.FileServerFS(files)).ServeHTTP)
		r.Route("/api/v1", c.api)
		r.Route("/console", c.desk)
	})
}

// Doors is the router on which a node mounts its doors.
type Doors = chi.Router

// Public opens the journal's own doors: /checkpoint and /tile/ as
// c2sp.org/tlog-tiles has them, and /timestamp. Entries go to whom admit lets in, and to nobody
// when it is nil.
func Public(r Doors, book *postgres.Journal, cosigned bool, log *slog.Logger, admit func(*http.Request) error) {
	s := &remote.Server{Log: book.Published(cosigned), Admit: admit, Slog: log}
	r.Handle("/checkpoint", s)
	r.Handle("/tile/*", s)
	r.Handle("/timestamp", s)
	r.Handle("/timestamp/*", s)
}

// AdmitReader lets the bearers of tokens read entries at the journal's own
// doors, and notes the reading.
func (c *Console) AdmitReader(r *http.Request) error {
	who, ok := c.bearer(r)
	if !ok {
		return remote.ErrUnauthenticated
	}
	return c.note(r.Context(), who, reading{act: "entries", query: r.URL.Path, always: true})
}

func (c *Console) api(r chi.Router) {
	open := func(method, path string, serve func(http.ResponseWriter, *http.Request, Actor) error, roles ...Role) {
		r.Method(method, path, c.answer(serve, roles...))
	}
	open("GET", "/overview", c.serveOverview)
	open("GET", "/queues", c.serveQueues)
	open("GET", "/terms", c.serveDue)
	open("GET", "/terms/counts", c.serveDueCounts)
	open("GET", "/alarms", c.serveAlarms)
	open("POST", "/alarms/mute", c.serveMute, Operator)
	open("POST", "/alarms/retry", c.serveRetry, Operator)
	open("GET", "/services", c.serveServices)
	open("POST", "/services/impact", c.serveImpact, Operator)
	open("GET", "/shadow", c.serveShadows)
	open("GET", "/health", c.serveHealth)
	open("GET", "/parties", c.serveParties)
	open("GET", "/journal/entries", c.serveSearch)
	open("POST", "/journal/search", c.serveSearch)
	open("GET", "/journal/totals", c.serveTotals)
	open("GET", "/journal/entries/{index}", c.serveEntry)
	open("GET", "/journal/entries/{index}/proof", c.serveProof)
	open("POST", "/journal/entries/{index}/erase", c.serveErase, Operator)
	open("POST", "/content/erase", c.serveEraseContent, Operator)
	open("GET", "/journal/export", c.serveExport)
	open("GET", "/journal/bundle", c.serveBundle)
	open("GET", "/journal/changes", c.serveChanges)
	open("POST", "/journal/readings", c.serveReadings)
	open("POST", "/journal/report", c.serveReport)
	open("POST", "/journal/report/page", c.serveReportPage)
	open("POST", "/journal/report/bundle", c.serveReportBundle)
	open("GET", "/reports/{kind}", c.serveFigures)
	open("GET", "/journal/trace/{id}", c.serveTrace)
	open("GET", "/journal/revocation/{digest}", c.serveAnswer)
	open("GET", "/incidents/{incident}/envelope", c.serveRefusedEnvelope)
	open("GET", "/messages/{message}/envelope", c.serveMessageEnvelope)
	open("GET", "/messages/{message}/receipts/{recipient}/{attempt}/{what}", c.serveReceipt)
}

// guarded sets what every answer of the desk bears. Scripts and styles come from
// the desk's own files; nothing is fetched from elsewhere, framed, cached or
// guessed at.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
		h.Set("Cache-Control", "no-store")
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		// Another site's page must not make readings in the name of somebody whose
		// browser knows a password here. A link that is followed to a page is the
		// reader's own act.
		if r.Header.Get("Sec-Fetch-Site") == "cross-site" && (strings.HasPrefix(r.URL.Path, "/api/v1/") || r.Header.Get("Sec-Fetch-Mode") != "navigate") {
			http.Error(w, "this is not for other sites' pages", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (c *Console) serveDescription(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Write(openAPI)
}

// Problem is an error as the API says it (RFC 9457).
type Problem struct {
	Title   string `json:"title"`
	Status  int    `json:"status"`
	Detail  string `json:"detail,omitempty"` // what to do next
	russian string // Detail for the pages
}

// Say is the detail for a page's reader.
func (p *Problem) Say(lang string) string {
	if lang == "en" || p.russian == "" {
		return p.Detail
	}
	return p.russian
}

func (p *Problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Title, p.Detail) }

func problem(status int, format Text, args ...any) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format.EN, args...), russian: fmt.Sprintf(format.RU, args...)}
}

// errElsewhere is said on a node without the journal.
var errElsewhere = problem(http.StatusServiceUnavailable, Text{"Этот узел не ведёт журнал: спросите узел, в настройках которого есть journal.key.", "This node does not keep the journal: ask the node whose configuration has journal.key."})

// goneProblem says that content was erased: when, and on what ground.
func goneProblem(e *adapter.Erasure) *Problem {
	if e.At.IsZero() {
		return problem(http.StatusGone, Text{"Содержание удаляется.", "The content is being erased."})
	}
	return problem(http.StatusGone, Text{"Содержание удалено %s. Основание: %s.", "The content was erased at %s. Ground: %s."}, e.At.Format(time.RFC3339), e.Ground)
}

// known turns any error into what the asker may see; what is nobody's mistake
// but ours is logged and told without its cause.
func (c *Console) known(r *http.Request, err error) *Problem {
	var p *Problem
	var broken *journal.BrokenError
	var much *adapter.TooMuchError
	var gone *adapter.ErasedError
	var lacks *vault.KeyError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &lacks):
		c.Log.Error("console: answer", "route", route(r), "error", err)
		return problem(http.StatusServiceUnavailable, Text{"В папке journal.vault этого узла нет ключа %s, или на его месте другой, и ответить без него нельзя: верните его из резервной копии хранилища ключей.",
			"The folder of journal.vault of this node has not the key %s, or has another in its place, and without it there is no answer: put it back from the vault's own backup."}, lacks.Key)
	case errors.As(err, &gone):
		return goneProblem(&gone.Erasure)
	case errors.Is(err, adapter.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return problem(http.StatusNotFound, Text{"Здесь такого нет, или истёк срок хранения.", "There is no such thing here, or its time of keeping has passed."})
	case errors.As(err, &broken):
		c.Log.Error("console: the journal is broken", "route", route(r), "error", err)
		return problem(http.StatusInternalServerError, Text{"Журнал не сходится: %v. Проверьте его программой mezhved-audit и сохраните базу данных как есть.", "The journal does not hold: %v. Verify the log with mezhved-audit, and keep the database as it is."}, broken)
	case errors.As(err, &much):
		return problem(http.StatusBadRequest, Text{"Это больше, чем можно собрать в памяти за один раз (байт: %d из %d; limits.memory). Сузьте вопрос, например по дням.", "That is more than may be put together in memory at once (%d bytes of %d; limits.memory): narrow the question, by days for example."}, much.Bytes, much.Most)
	case errors.Is(err, adapter.ErrNoRoom):
		return problem(http.StatusServiceUnavailable, Text{"Узел сейчас принимает слишком много и не может собрать ответ; повторите через несколько секунд.", "The node receives too much at once to put this together now; ask again in a few seconds."})
	case errors.Is(err, context.Canceled):
		return problem(499, Text{"Спрашивавший ушёл.", "The asker went away."})
	}
	c.Log.Error("console: answer", "route", route(r), "error", err)
	return problem(http.StatusServiceUnavailable, Text{"Ответить сейчас не удалось; повторите через несколько секунд. Причина — в журнале работы узла.", "The answer could not be given now; ask again in a few seconds. The log of the node has the cause."})
}

// route is what was asked, for the log: the pattern and not the path, into which a
// reader may have typed anything.
func route(r *http.Request) string {
	if c := chi.RouteContext(r.Context()); c != nil {
		return c.RoutePattern()
	}
	return ""
}

// answer wraps a question of the API: who asks, may they, and errors as problems.
func (c *Console) answer(serve func(http.ResponseWriter, *http.Request, Actor) error, roles ...Role) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, err := c.admit(r, roles...)
		if err == nil {
			err = serve(w, r, who)
		}
		if err == nil {
			return
		}
		p := c.known(r, err)
		if p.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="mezhved", Basic realm="mezhved", charset="UTF-8"`)
		}
		if p.Status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "5")
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Del("Content-Disposition")
		w.WriteHeader(p.Status)
		json.NewEncoder(w).Encode(p) // a reader who went away is no error of ours
	}
}

// writeJSON ends an answer of the API.
func writeJSON(w http.ResponseWriter, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("answer as JSON: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(b, '\n'))
	return nil
}
