package adapter

import (
	"math"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	oteltrace "go.opentelemetry.io/otel/trace"

	"mezhved/adapter/registry"
	"mezhved/adapter/tally"
	"mezhved/adapter/terms"
	"mezhved/signing"
)

// metrics is what the gateway counts. Labels come from closed sets: operations,
// reasons, stages, registered mnemonics; nothing that a caller invents.
type metrics struct {
	registry *prometheus.Registry
	calls    *tally.Counters
	stages   *tally.Durations
	refused  *tally.Counters
	repeated prometheus.Counter
	relayed  prometheus.Counter
	queued   prometheus.Counter
	streamed prometheus.Counter
	fed      prometheus.Counter
	dead     prometheus.Counter
	foreign  prometheus.Counter
	returned prometheus.Counter
	expired  prometheus.Counter
	panics   prometheus.Counter
	loops    *tally.Counters
	waiting  *prometheus.GaugeVec
	leased   *prometheus.GaugeVec
	lanes    *prometheus.GaugeVec
	shares   *prometheus.GaugeVec
	oldest   *prometheus.GaugeVec
	certExp  *prometheus.GaugeVec
	atWork   prometheus.Gauge
	reloads  *tally.Counters
	recalled prometheus.Counter
	waits    *prometheus.GaugeVec
	skew     prometheus.Gauge
	pace     prometheus.Gauge
	skewErr  prometheus.Gauge

	nodes   *prometheus.GaugeVec
	pending prometheus.Gauge

	parties *tally.Counters
	soon    *tally.Counters
	overdue *tally.Counters

	served    *tally.Counters
	replied   *tally.Counters
	overdueOf *tally.Counters
	target    *prometheus.GaugeVec
	lateNow   *prometheus.GaugeVec
	calendar  prometheus.Gauge

	unchecked *tally.Counters
	transport *tally.Counters
	doorExp   prometheus.Gauge
}

func newMetrics(r *prometheus.Registry) *metrics {
	if r == nil {
		r = prometheus.NewRegistry()
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "mezhved", Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *tally.Counters {
		return tally.NewCounters(prometheus.CounterOpts{Namespace: "mezhved", Name: name, Help: help}, labels...)
	}
	gauges := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "mezhved", Name: name, Help: help}, labels)
	}
	m := &metrics{
		registry: r,
		calls:    counters("calls_total", "Calls by operation, protocol version and outcome (ok, empty, repeated, gone where the caller hung up, or the fault), without those of probes.", "operation", "version", "outcome"),
		stages:   tally.NewDurations("mezhved_stage_seconds", "Time spent in each stage of the corridor.", "stage"),
		refused:  counters("refused_total", "Refused calls by reason; known says whether the caller was proved to be a registered party.", "reason", "known"),
		repeated: counter("repeated_total", "Calls that repeated an accepted message and were given its receipt again."),
		relayed:  counter("relayed_total", "Messages acknowledged by the bus."),
		queued:   counter("queued_total", "Messages put into recipients' queues."),
		streamed: counter("streamed_total", "Messages that their recipients have read from the bus themselves."),
		fed:      counter("journal_fed_total", "Entries of the journal put on its topic."),
		dead:     counter("dead_total", "Messages that the bus refused for good."),
		foreign:  counter("foreign_records_total", "Records on our topics that this gateway did not write."),
		returned: counter("returned_total", "Leases that ran out."),
		expired:  counter("expired_total", "Messages whose end of life came before delivery, without tests."),
		panics:   counter("panics_total", "Calls that ended in a panic of ours."),
		loops:    counters("loop_errors_total", "Errors of background loops; each is followed by another try.", "loop"),
		waiting:  gauges("queue_waiting", "Messages waiting in a queue.", "system", "kind"),
		leased:   gauges("queue_leased", "Messages delivered and not acknowledged.", "system", "kind"),
		lanes:    gauges("queue_lane_messages", "Messages of a service in a queue, waiting or delivered and not acknowledged.", "system", "kind", "service"),
		shares:   gauges("share_used", "How full the fullest share was since the last look, of those that were asked for: places at work of a party and of a service, messages in a queue of a service (lane) and of a sender. At 1 it was full.", "of"),
		oldest:   gauges("queue_oldest_seconds", "Age of the oldest message of a queue.", "system", "kind"),
		certExp:  gauges("certificate_expires_seconds", "Unix time at which the last certificate of a party expires.", "system"),
		atWork:   prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "mezhved", Name: "calls_at_work", Help: "Calls being served now."}),
		reloads:  counters("registry_reloads_total", "Reloads of the registry by outcome.", "outcome"),
		recalled: counter("recalled_total", "Records that the bus has acknowledged and lost, and that were put there again."),
		waits:    gauges("waiting_seconds", "Age of what has waited longest at a station, by the database's clock; 0: nothing waits.", "station", "shard"),
		pace:     prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "mezhved", Name: "paced_requests_per_second", Help: "Requests that each party may send while what was accepted waits too long (limits.wait), where some queues alone wait to that of them which may be sent fewest; +Inf: any."}),
		skew:     prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "mezhved", Name: "clock_skew_seconds", Help: "This node's clock minus the database's."}),
		skewErr:  prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "mezhved", Name: "clock_skew_error_seconds", Help: "How wrong clock_skew_seconds may be."}),
	}
	m.nodes = gauges("nodes", "Nodes that share the database and have told of themselves within five minutes, by build.", "version")
	m.pending = prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "mezhved", Name: "settings_pending", Help: "Settings whose values in the configuration file come into force at the next start only."})
	for _, outcome := range []string{"ok", "refused"} {
		m.reloads.WithLabelValues(outcome)
	}
	for _, known := range []string{"false", "true"} {
		m.refused.WithLabelValues("no-room", known) // at 0: what begins at 1 has not increased, as Prometheus sees it
	}
	m.parties = counters("party_calls_total", "Calls of each party: what for (send, poll, ack, other), and whether they were refused.", "system", "what", "outcome")
	m.served = counters("service_calls_total", "Messages sent for a service, without tests, by whose fault it is that they were not accepted: none, sender, provider, bus, authority (of certificates).", "service", "fault")
	m.replied = counters("service_answers_total", "Final answers accepted for a service, without tests.", "service")
	m.overdueOf = counters("service_overdue_total", "Requests of a service whose answer was told to be overdue.", "service")
	m.target = gauges("service_target", "What is promised of a service, as a share: most of its calls that are refused by the fault of bus or provider (faults), most of its answers that are late (late).", "service", "of")
	m.soon = counters("due_soon_total", "Stages that were told to come due, by stage.", "stage")
	m.overdue = counters("overdue_total", "Stages that were told to be overdue, by stage.", "stage")
	m.lateNow = gauges("late", "Stages that are due and not reached now, by who is to reach them (empty: the gateway), service and stage.", "party", "service", "stage")
	m.calendar = prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "mezhved", Name: "calendar_missing_year", Help: "The year whose production calendar has to be brought; 0: none."})
	for _, stage := range terms.Stages { // at 0: what begins at 1 has not increased, as Prometheus sees it
		m.soon.WithLabelValues(string(stage))
		m.overdue.WithLabelValues(string(stage))
	}
	m.unchecked = counters("revocations_unchecked_total", "Signatures taken although nobody could say whether the certificate is revoked (trust.failOpen), by whose they are: caller, person, file.", "whose")
	for _, whose := range []string{"caller", "person", "file"} {
		m.unchecked.WithLabelValues(whose)
	}
	m.transport = counters("tls_reads_total", "Readings of the doors' certificate and of the authorities of client certificates, by outcome; after a failed one the old stays in use.", "what", "outcome")
	m.doorExp = prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "mezhved", Name: "tls_certificate_expires_seconds", Help: "Unix time at which the certificate of the doors expires."})
	for _, what := range []string{"certificate", "clientCAs"} {
		m.transport.WithLabelValues(what, "failed")
	}
	m.pace.Set(math.Inf(1))
	r.MustRegister(m.calls, m.stages, m.refused, m.repeated, m.relayed, m.queued, m.streamed, m.fed, m.dead, m.foreign, m.returned, m.expired,
		m.panics, m.loops, m.waiting, m.leased, m.lanes, m.shares, m.oldest, m.certExp, m.atWork, m.reloads, m.recalled, m.waits, m.pace, m.skew, m.skewErr,
		m.unchecked, m.transport, m.doorExp, m.parties, m.soon, m.overdue, m.lateNow, m.calendar,
		m.served, m.replied, m.overdueOf, m.target, m.nodes, m.pending)
	return m
}

// blind publishes how long ago this node last saw what waits. It grows when the
// watch itself stands still.
func (m *metrics) blind(age func() time.Duration) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "mezhved", Name: "watch_age_seconds", Help: "How long ago waiting_seconds was last read from the database."},
		func() float64 { return age().Seconds() }))
}

// stage measures one stage: defer m.stage("relay", trace).end(). trace is the id of the
// call whose stage it is; empty: of none.
func (m *metrics) stage(name, trace string) stageRun {
	return stageRun{of: m.stages.Of(name), began: tally.Now(), trace: trace}
}

// stageRun is a stage under way. A call has seven: it is a value, so that none is left to
// the collector.
type stageRun struct {
	of    *tally.Histogram
	began tally.Moment
	trace string         // by which the call is found, if its time is one of those that are shown as examples
	span  oteltrace.Span // nil: the call is of no trace that is recorded
}

func (r stageRun) end() {
	if r.span != nil {
		r.span.End()
	}
	r.of.Since(r.began, r.trace)
}

// countTransport counts a reading of what the doors' TLS stands on.
func (m *metrics) countTransport(what, outcome string, expires time.Time) {
	m.transport.WithLabelValues(what, outcome).Inc()
	if !expires.IsZero() {
		m.doorExp.Set(float64(expires.Unix()))
	}
}

// depths publishes the depth of every queue and of its lanes, nodes of one system together.
func (m *metrics) depths(list []Depth, lanes []Lane, now time.Time) {
	m.lanes.Reset()
	for _, one := range lanes {
		if one.Messages == 0 {
			continue // all of it is on its way there
		}
		m.lanes.WithLabelValues(string(one.Queue.System), string(one.Queue.Kind), one.Service).Add(float64(one.Messages))
	}
	m.waiting.Reset()
	m.leased.Reset()
	m.oldest.Reset()
	oldest := map[[2]string]float64{}
	for _, d := range list {
		l := [2]string{string(d.Queue.System), string(d.Queue.Kind)}
		m.waiting.WithLabelValues(l[:]...).Add(float64(d.Waiting))
		m.leased.WithLabelValues(l[:]...).Add(float64(d.Leased))
		if age := now.Sub(d.Oldest).Seconds(); !d.Oldest.IsZero() && age > oldest[l] {
			oldest[l] = age
			m.oldest.WithLabelValues(l[:]...).Set(age)
		}
	}
}

// standing publishes how long things have waited, each station and shard always:
// an alert cannot be raised by a series that is not there.
func (m *metrics) standing(s Standing) {
	for _, stage := range []Station{StationOutbox, StationBus} {
		for shard := range Shards {
			m.waits.WithLabelValues(string(stage), strconv.Itoa(shard)).Set(0)
		}
	}
	for _, stage := range []Station{StationJournal, StationCheckpoint, StationFeed, StationTerm, StationVault} {
		m.waits.WithLabelValues(string(stage), "0").Set(0)
	}
	for _, o := range s.Oldest {
		if o.Station == StationVaultFolder { // one alert for both
			o.Station = StationVault
		}
		m.waits.WithLabelValues(string(o.Station), strconv.Itoa(o.Shard)).Set(o.Age.Seconds())
	}
}

// partyCalls says what an operation is for.
var partyCalls = map[string]string{
	"SendRequest": "send", "SendResponse": "send", "GetRequest": "poll", "GetResponse": "poll", "GetStatus": "poll", "Ack": "ack",
}

func (m *metrics) byParty(p Mnemonic, operation, outcome string) {
	what, ok := partyCalls[operation]
	if !ok {
		what = "other"
	}
	switch outcome {
	case "ok", "empty", "repeated", "gone":
		outcome = "ok"
	default:
		outcome = "refused"
	}
	m.parties.WithLabelValues(string(p), what, outcome).Inc()
}

// ownCertificate publishes when the certificate of the gateway's signature ends.
func (m *metrics) ownCertificate(s signing.Signer) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "mezhved", Name: "signature_certificate_expires_seconds", Help: "Unix time at which the certificate of the gateway's signature expires."},
		func() float64 { return float64(s.Certificate().NotAfter().Unix()) }))
}

// late publishes what is late now.
func (m *metrics) late(counts []TermCount) {
	m.lateNow.Reset()
	for _, c := range counts {
		if c.Late > 0 {
			m.lateNow.WithLabelValues(string(c.Party), c.Service, string(c.Stage)).Set(float64(c.Late))
		}
	}
}

func (m *metrics) certificates(c *registry.Catalog) {
	m.certExp.Reset()
	for _, p := range c.Parties() {
		var last time.Time
		for _, cert := range p.Certificates {
			if cert.NotAfter.After(last) {
				last = cert.NotAfter
			}
		}
		m.certExp.WithLabelValues(string(p.Mnemonic)).Set(float64(last.Unix()))
		for _, what := range []string{"send", "poll", "ack"} { // at 0: an alert cannot be raised by what is not there
			m.parties.WithLabelValues(string(p.Mnemonic), what, "ok")
			m.parties.WithLabelValues(string(p.Mnemonic), what, "refused")
		}
	}
}
