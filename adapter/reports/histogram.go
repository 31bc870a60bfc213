package reports

import (
	"math/bits"
	"slices"
)

// Histogram holds how long something took, in milliseconds. Up to 256 each has a
// bucket of its own, above that there are 128 to each doubling.
type Histogram struct {
	count   int64
	buckets []bucket // ascending
}

type bucket struct {
	number uint16
	count  int64
}

// Add takes one more length of time; what is negative, from clocks that differ, is 0.
func (h *Histogram) Add(ms int64) { h.add(bucketOf(max(ms, 0)), 1) }

func (h *Histogram) add(number uint16, count int64) {
	h.count += count
	at, found := slices.BinarySearchFunc(h.buckets, number, func(b bucket, n uint16) int { return int(b.number) - int(n) })
	if !found {
		h.buckets = slices.Insert(h.buckets, at, bucket{number: number})
	}
	h.buckets[at].count += count
}

// Merge adds what another one holds.
func (h *Histogram) Merge(other *Histogram) {
	for _, b := range other.buckets {
		h.add(b.number, b.count)
	}
}

// Count is how many were added.
func (h *Histogram) Count() int64 { return h.count }

// Quantile is a length of time that so many hundredths of those that were added do
// not exceed: the upper end of the bucket that holds the nearest rank.
func (h *Histogram) Quantile(hundredths int64) (ms int64, ok bool) {
	rank := max((h.count*hundredths+99)/100, 1)
	for _, b := range h.buckets {
		if rank -= b.count; rank <= 0 {
			return endOf(b.number), true
		}
	}
	return 0, false
}

// Above those that are exact a value's bucket is its highest 8 bits and how many
// follow them.
const exact = 256

func bucketOf(ms int64) uint16 {
	if ms < exact {
		return uint16(ms)
	}
	low := bits.Len64(uint64(ms)) - 8
	return uint16(exact + (low-1)*exact/2 + int(ms>>low) - exact/2)
}

// endOf is the greatest value of a bucket.
func endOf(number uint16) int64 {
	if number < exact {
		return int64(number)
	}
	above := int(number) - exact
	low, high := above/(exact/2)+1, int64(above%(exact/2)+exact/2)
	return (high+1)<<low - 1
}
