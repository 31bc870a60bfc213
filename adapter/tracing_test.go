package adapter_test

import (
	"slices"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"mezhved/adapter/adaptertest"
	"mezhved/envelopes"
)

// One trace tells a message's way: the stages of its acceptance, its relay, and its intake
// where that brings it to its queue, and by a link the poll that delivered it.
func TestTraceOfAMessage(t *testing.T) {
	t.Parallel()
	t.Run("the relay fills queues", func(t *testing.T) {
		traced(t, "accept", "admit", "authenticate", "parse", "read", "relay", "sign", "smev", "validate")
	})
	t.Run("the intake does", func(t *testing.T) {
		traced(t, "accept", "admit", "authenticate", "intake", "parse", "read", "relay", "sign", "smev", "validate")
	})
}

func traced(t *testing.T, want ...string) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	options := []adaptertest.Option{adaptertest.WithTracing(sdk.NewTracerProvider(sdk.WithSyncer(spans)))}
	if slices.Contains(want, "intake") {
		options = append(options, byIntake)
	}
	w := adaptertest.Start(t, options...)
	accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1)))
	take(t, w.Party("REGISTRY"), envelopes.GetRequest, "")

	var of trace.TraceID
	var root trace.SpanID
	var names []string
	defer func() {
		if t.Failed() {
			t.Log("spans of the trace:", names)
		}
	}()
	w.Eventually("the spans are there", func() bool {
		names = nil
		for _, s := range spans.GetSpans() {
			if s.Name == "validate" {
				of, root = s.SpanContext.TraceID(), s.Parent.SpanID()
			}
		}
		for _, s := range spans.GetSpans() {
			if s.SpanContext.TraceID() != of {
				continue
			}
			names = append(names, s.Name)
			if s.Name != "smev" && s.Parent.SpanID() != root {
				t.Fatalf("%s is no child of its call", s.Name)
			}
			if s.EndTime.Before(s.StartTime) {
				t.Fatalf("%s ends before it begins", s.Name)
			}
		}
		slices.Sort(names)
		// A bus that appends a record and then cannot confirm it to its replicas
		// gets it again, and every copy is taken in: one stage may have two spans.
		names = slices.Compact(names)
		return slices.Equal(names, want)
	})
	linked := false
	for _, s := range spans.GetSpans() {
		for _, l := range s.Links {
			linked = linked || s.SpanContext.TraceID() != of && l.SpanContext.TraceID() == of && l.SpanContext.SpanID() == root
		}
	}
	if !linked {
		t.Error("no poll is linked to the trace of the message that it delivered")
	}
	w.Check()
}
