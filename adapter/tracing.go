package adapter

import (
	"context"
	"encoding/hex"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// A call is one span with a span for each of its stages: read, parse,
// authenticate, admit (validate in it), accept, lease, ack, sign. The context of
// an accepted message is kept with it and goes along on the bus, so that its
// relay and intake, on whatever node and after whatever restart, are spans of
// the same trace, and the poll that delivers it is linked to it.

// One id joins what is told of a call: the trace id. It stands in the log's line of a
// refusal (trace_id), with what is kept of the refused call, with an accepted message, in
// the examples of the histogram of stages, in the spans, and in the header of the answer,
// so that a caller can quote it; the desk finds what bears it. Where the caller sends a
// traceparent it is the caller's, where traces are exported it is theirs. Else it is the
// id that we give the call, which is that of the message that it brings: such a message
// is found by it without being told of a trace, and nothing more is stored.

// traceHeader tells a caller the trace id of its call.
const traceHeader = "X-Mezhved-Trace"

// traceOf is the trace id of a call: of its span, or without one of the call itself.
func traceOf(span trace.SpanContext, id uuid.UUID) string {
	if span.HasTraceID() {
		return span.TraceID().String()
	}
	return TraceOf("", id)
}

// TraceOf is the trace id of a message: of the traceparent that it came with, or without
// one of the message's own id.
func TraceOf(traceparent string, id uuid.UUID) string {
	if traceparent != "" {
		if parts := strings.Split(traceparent, "-"); len(parts) >= 4 {
			return parts[1]
		}
	}
	var text [2 * len(id)]byte
	hex.Encode(text[:], id[:])
	return string(text[:])
}

// carried is the context of a call's or a message's trace. The caller's tracestate
// is not taken along: it is free text, and would be exported.
func carried(ctx context.Context, traceparent string) context.Context {
	if traceparent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": traceparent})
}

// carriedOn is the traceparent that goes along with what a span brings; empty: there is
// neither a trace of the caller's nor one of ours.
func carriedOn(ctx context.Context, span trace.Span) string {
	if !span.SpanContext().IsValid() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
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
