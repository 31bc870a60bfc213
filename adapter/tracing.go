package adapter

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// A call is one span with a span for each of its stages: read, parse,
// authenticate, admit (validate in it), accept, lease, ack, sign. The context of
// an accepted message is kept with it and goes along on the bus, so that its
// relay and intake, on whatever node and after whatever restart, are spans of
// the same trace, and the poll that delivers it is linked to it.

// carried is the context of a call's or a message's trace. The caller's tracestate
// is not taken along: it is free text, and would be exported.
func carried(ctx context.Context, traceparent string) context.Context {
	if traceparent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": traceparent})
}

// span records a stage of a message's way that has just ended. Messages whose
// trace is not sampled cost nothing here.
func (g *Gateway) span(traceparent, name string, began time.Time) {
	if !strings.HasSuffix(traceparent, "1") && !strings.HasSuffix(traceparent, "3") {
		return // the last digit's lowest bit says that the trace is recorded
	}
	_, s := g.tracer.Start(carried(context.Background(), traceparent), name, trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindInternal))
	s.End()
}
