package adapter_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/envelopes"
)

// BenchmarkAccept posts signed requests of some 4 KB (ECDSA) over HTTP, 32 at a
// time, on the private PostgreSQL without fsync. What is measured is the
// gateway, its database and its bus together; the envelopes are signed before.
func BenchmarkAccept(b *testing.B) {
	w := adaptertest.Start(b, adaptertest.WithConfig(func(c *adapter.Config) { c.Limits.PerSecond = 1e6 }))
	muni := w.Party("MUNI")
	bodies := make([][]byte, b.N)
	padding := "<!--" + strings.Repeat("x", 1500) + "-->"
	content := strings.Replace(adaptertest.Content(adaptertest.Extract1), "><e:", ">"+padding+"<e:", 1)
	for i := range bodies {
		_, bodies[i], _ = muni.BuildRequest(adaptertest.Request{Content: content})
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	var next, bad atomic.Int64
	b.SetBytes(int64(len(bodies[0])))
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := client.Post(w.URL+"/ws", envelopes.TextXML, bytes.NewReader(bodies[next.Add(1)-1]))
			if err != nil || resp.StatusCode != 200 {
				bad.Add(1)
			}
			if err == nil {
				io.Copy(io.Discard, resp.Body) // or the connection is not used again
				resp.Body.Close()
			}
		}
	})
	b.StopTimer()
	if bad.Load() > 0 {
		b.Fatalf("%d calls failed", bad.Load())
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepted/s")
}
