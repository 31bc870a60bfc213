package conform

import (
	"net/http"
	"slices"
	"time"

	"mezhved/envelopes"
)

var partyPolls = []partyCheck{
	ought("", "poll-pause", "Между опросами пустой очереди есть пауза", "МР 3.3, п. 2.5; «Нарушено ограничение на частоту опроса очередей»",
		"Опрашивайте пустую очередь не чаще раза в секунду (адаптер СМЭВ: раз в минуту) или пользуйтесь Prefer: wait.", func(r *partyRun) {
			op := r.polls()
			var gaps []time.Duration
			r.until("пять опросов после пустого ответа", func() bool {
				gaps = gaps[:0]
				var last *heard
				for _, h := range r.since() {
					if h.op != op || h.root != (envelopes.Name{}) {
						continue
					}
					if last != nil && last.empty && !last.answered.IsZero() {
						gaps = append(gaps, h.at.Sub(last.answered))
					}
					last = h
				}
				return len(gaps) >= 5
			})
			slices.Sort(gaps)
			if middle := gaps[len(gaps)/2]; middle < r.Pause*9/10 {
				r.fail("пауза между опросами пустой очереди: %s, ожидалось не меньше %s", middle.Round(time.Millisecond), r.Pause)
			}
		}),
	does("", "poll-later", "Опрос после 503 с Retry-After повторяется не раньше, чем просит шина", httpRetry, adviceWait, func(r *partyRun) {
		r.pollsAgain(func(*heard) reply { return r.later(http.StatusServiceUnavailable) }, r.RetryAfter*95/100)
	}),
	does("", "poll-rate", "Опрос после 429 с Retry-After повторяется не раньше, чем просит шина", httpRetry, adviceWait, func(r *partyRun) {
		r.pollsAgain(func(*heard) reply { return r.later(http.StatusTooManyRequests) }, r.RetryAfter*95/100)
	}),
	does("", "poll-failure", "После SMEVFailure система продолжает опрос", wsdlRetry,
		"Отказ шины при опросе не повод остановиться.", func(r *partyRun) {
			r.pollsAgain(func(h *heard) reply {
				return r.fault(h, envelopes.SMEVFailure, "Ошибка СМЭВ. Обратитесь в службу технической поддержки.")
			}, 0)
		}),
	does("", "poll-lost", "После обрыва связи при опросе система продолжает опрос", mrLease,
		"Обрыв при опросе: сообщение, если оно было, вернётся через время ожидания.", func(r *partyRun) {
			r.pollsAgain(func(*heard) reply { return reply{cut: true} }, 0)
		}),
	does("", "poll-page", "После страницы HTML вместо конверта (502) система продолжает опрос", mrTransport,
		"Не считайте нечитаемый ответ пустой очередью и не останавливайтесь.", func(r *partyRun) {
			r.pollsAgain(func(*heard) reply {
				return reply{status: http.StatusBadGateway, header: http.Header{"Content-Type": {"text/html"}}, body: []byte("<html>502</html>")}
			}, 0)
		}),
	does("", "poll-multipart", "Пустая очередь в multipart/related понимается", mrTransport,
		"Живая шина отвечает в multipart/related и тогда, когда очередь пуста.", func(r *partyRun) {
			r.pollsAgain(func(h *heard) reply {
				kind, body := envelopes.Package(envelopes.BuildEmpty(h.version, h.op).XML, nil, true)
				return reply{status: http.StatusOK, header: http.Header{"Content-Type": {kind}}, body: body}
			}, 0)
		}),
}

// polls is the operation by which the party polls in the first of its roles.
func (r *partyRun) polls() envelopes.Operation {
	if r.Roles[0] == Provider {
		return envelopes.GetRequest
	}
	return envelopes.GetResponse
}

// pollsAgain answers a poll with something and waits for the next, which must not
// come before its time.
func (r *partyRun) pollsAgain(answer func(*heard) reply, least time.Duration) {
	op := r.polls()
	match := func(h *heard) bool { return h.op == op }
	first := r.expect("опрос очереди ("+op.String()+")", match)
	first.say(answer(first))
	next := r.expect("следующий опрос очереди ("+op.String()+")", match)
	gap := r.gap(first, next)
	r.as(next)
	if gap < least {
		r.fail("шина просила ждать %s, следующий опрос пришёл через %s", r.RetryAfter, gap.Round(time.Millisecond))
	}
}
