package console

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/subject"
)

// Role is what somebody at the desk may do. Both may read everything; an
// operator may also erase, an auditor leaves an entry with every reading.
type Role string

// The roles.
const (
	Operator Role = "operator"
	Auditor  Role = "auditor"
)

// Token lets its bearer in. The secret itself is not kept, only its SHA-256.
type Token struct {
	Name   string
	Role   Role
	digest [32]byte
}

// minToken is the least length of a token: shorter ones can be guessed.
const minToken = 20

// NewToken makes a token of a secret.
func NewToken(name string, role Role, secret string) (Token, error) {
	switch {
	case name == "":
		return Token{}, errors.New("a token needs a name")
	case role != Operator && role != Auditor:
		return Token{}, fmt.Errorf("token %s: role operator or auditor is expected, not %q", name, role)
	case len(secret) < minToken || strings.ContainsAny(secret, " \t\r\n"):
		return Token{}, fmt.Errorf("token %s: one line of %d or more characters without spaces is expected (make one with: openssl rand -hex 32)", name, minToken)
	}
	return Token{name, role, sha256.Sum256([]byte(secret))}, nil
}

// LoadTokens reads the files of a configuration. The error names every one that
// is wrong.
func LoadTokens(c adapter.ConsoleConfig) ([]Token, error) {
	var out []Token
	var bad []error
	for _, t := range c.Tokens {
		src, err := os.ReadFile(t.File)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		token, err := NewToken(t.Name, Role(t.Role), strings.TrimRight(string(src), "\r\n"))
		if err != nil {
			bad = append(bad, fmt.Errorf("%s: %w", t.File, err))
			continue
		}
		if slices.ContainsFunc(out, func(o Token) bool { return o.digest == token.digest }) {
			bad = append(bad, fmt.Errorf("%s holds the same token as another file: the journal could not tell their bearers apart", t.File))
		}
		out = append(out, token)
	}
	return out, errors.Join(bad...)
}

// Actor is who asks, proved by a token.
type Actor struct {
	Name string
	Role Role
}

// ReplaceTokens says who may enter from now on. Who sits at the desk with a token that is
// no more is shown the door with his next step.
func (c *Console) ReplaceTokens(tokens []Token) { c.tokens.Store(&tokens) }

// find looks for the token of a secret, in the same time whichever it is.
func (c *Console) find(secret string) (Actor, bool) {
	digest := sha256.Sum256([]byte(secret))
	tokens, found := *c.tokens.Load(), -1
	for i := range tokens {
		if subtle.ConstantTimeCompare(digest[:], tokens[i].digest[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return Actor{}, false
	}
	return Actor{tokens[found].Name, tokens[found].Role}, true
}

// bearer takes the token from where programs and browsers put it: Authorization
// as Bearer or as the password of Basic, or the desk's own cookie.
func (c *Console) bearer(r *http.Request) (Actor, bool) {
	if scheme, secret, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return c.find(strings.TrimSpace(secret))
	}
	if _, password, ok := r.BasicAuth(); ok {
		return c.find(password)
	}
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		return c.session(cookie.Value)
	}
	return Actor{}, false
}

// admit lets in whoever has a token of one of the roles; no roles means any.
func (c *Console) admit(r *http.Request, roles ...Role) (Actor, error) {
	who, ok := c.bearer(r)
	if !ok {
		return who, problem(http.StatusUnauthorized, Text{"Нужен токен: Authorization: Bearer ТОКЕН. Их выдаёт оператор узла (console.tokens).", "A token is needed: Authorization: Bearer TOKEN. The operator of the node gives them out (console.tokens)."})
	}
	if len(roles) > 0 && !slices.Contains(roles, who.Role) {
		return who, problem(http.StatusForbidden, Text{"Роли %s это не разрешено.", "This is not for the role %s."}, who.Role)
	}
	return who, nil
}

// A session is a cookie that only the bearer of the token could have been given:
// name, end and an HMAC of both under the token's digest. It needs no memory, so
// it is good on every node and after a restart, and it ends when the token is
// changed or its time is over.
const (
	sessionCookie = "mezhved_desk"
	sessionLength = 8 * time.Hour
)

func (t *Token) seal(name, end string) string {
	m := hmac.New(sha256.New, t.digest[:])
	fmt.Fprintf(m, "mezhved desk session\x00%s\x00%s", name, end)
	return hex.EncodeToString(m.Sum(nil))
}

func (c *Console) session(value string) (Actor, bool) {
	parts := strings.Split(value, ".")
	if len(parts) != 3 {
		return Actor{}, false
	}
	name, err := base64.RawURLEncoding.DecodeString(parts[0])
	end, err2 := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || err2 != nil || c.Now().Unix() >= end {
		return Actor{}, false
	}
	tokens := *c.tokens.Load()
	for i := range tokens {
		t := &tokens[i]
		if t.Name == string(name) && hmac.Equal([]byte(t.seal(t.Name, parts[1])), []byte(parts[2])) {
			return Actor{t.Name, t.Role}, true
		}
	}
	return Actor{}, false
}

// newSession makes the cookie's value for somebody whom find has let in. Whose token has
// been taken away since then gets one that nobody takes.
func (c *Console) newSession(who Actor) string {
	tokens := *c.tokens.Load()
	i := slices.IndexFunc(tokens, func(t Token) bool { return t.Name == who.Name })
	if i < 0 {
		return ""
	}
	end := strconv.FormatInt(c.Now().Add(sessionLength).Unix(), 10)
	return base64.RawURLEncoding.EncodeToString([]byte(who.Name)) + "." + end + "." + tokens[i].seal(who.Name, end)
}

// reading is what somebody is about to be shown.
type reading struct {
	act    string                  // search, trace, entry, proof, export, envelope, entries, overview
	query  string                  // what was asked, as asked; committed to, erasable
	fields []string                // names of the fields that were asked by
	values []journal.PersonalField // values that were asked by: see subject.Sought
	always bool                    // content is disclosed: noted for operators, too
}

// note puts a reading into the journal before it happens. Its error stops the
// reading.
func (c *Console) note(ctx context.Context, who Actor, what reading) error {
	if who.Role != Auditor && !what.always {
		return nil
	}
	if err := c.Store.Record(ctx, c.readEvent(who, what)); err != nil {
		c.Log.Error("console: the reading cannot be journalled, so it does not happen", "actor", who.Name, "act", what.act, "error", err)
		return problem(http.StatusServiceUnavailable, Text{"Журнал не может принять запись об этом чтении, поэтому ничего не показано. Повторите через несколько секунд.", "The journal cannot take the entry that would tell of this reading, so nothing is shown. Ask again in a few seconds."})
	}
	return nil
}

// maxNoted is how much of a question an entry keeps.
const maxNoted = 4 << 10

func (c *Console) readEvent(who Actor, what reading) journal.Event {
	query := strings.ToValidUTF8(what.query, "\uFFFD")
	if len(query) > maxNoted {
		query = strings.ToValidUTF8(query[:maxNoted], "") + "…"
	}
	e := journal.Event{Kind: journal.KindEvidenceRead, Time: c.Now().UTC(), Node: c.Gateway().Config().Node, Operation: what.act, Outcome: "ok",
		Personal: []journal.PersonalField{{Field: "actor", Value: string(who.Role) + " " + who.Name}}}
	if query != "" {
		e.Personal = append(e.Personal, journal.PersonalField{Field: "query", Value: query})
	}
	for _, v := range what.values {
		if spelled := subject.FormOf(v.Field).Spell(v.Value); spelled != "" {
			e.Personal = append(e.Personal, journal.PersonalField{Field: subject.Sought(v.Field), Value: spelled})
		}
	}
	if len(what.fields) > 8 { // the format's limit
		what.fields = what.fields[:8]
	}
	e.Fields = what.fields
	return e
}
