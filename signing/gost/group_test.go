package gost

import (
	"crypto/rand"
	"testing"
)

func TestSignVerifyQuick(t *testing.T) {
	for _, c := range Curves() {
		for i := 0; i < 20; i++ {
			d := make([]byte, c.size)
			k := make([]byte, c.size)
			e := make([]byte, c.size)
			rand.Read(d)
			rand.Read(k)
			rand.Read(e)
			d[0] &= 0x3f
			k[0] &= 0x3f
			x, y := c.group.base(d)
			p, err := c.group.admit(x, y)
			if err != nil {
				t.Fatal(c.name, err)
			}
			r, s, ok := c.group.sign(d, e, k)
			if !ok {
				t.Fatal("sign")
			}
			if !p.verify(e, r, s) {
				t.Fatal("verify", c.name)
			}
			if i == 0 {
				if !p.withTable().verify(e, r, s) {
					t.Fatal("verify", c.name)
				}
			}
			e[5] ^= 1
			if p.verify(e, r, s) {
				t.Fatal("verify", c.name)
			}
		}
	}
}

func BenchmarkG(b *testing.B) {
	for _, c := range []*Curve{CurveCryptoProA, Curve256A, Curve256C, Curve256D, Curve512A, Curve512B, Curve512C, Curve512Test} {
		d := make([]byte, c.size)
		k := make([]byte, c.size)
		e := make([]byte, c.size)
		rand.Read(d)
		rand.Read(k)
		rand.Read(e)
		d[0] &= 0x3f
		k[0] &= 0x3f
		x, y := c.group.base(d)
		p, _ := c.group.admit(x, y)
		r, s, _ := c.group.sign(d, e, k)
		b.Run(c.name+"/verify", func(b *testing.B) {
			for b.Loop() {
				p.verify(e, r, s)
			}
		})
		q := p.withTable()
		b.Run(c.name+"/verifyT", func(b *testing.B) {
			for b.Loop() {
				q.verify(e, r, s)
			}
		})
		b.Run(c.name+"/sign", func(b *testing.B) {
			for b.Loop() {
				c.group.sign(d, e, k)
			}
		})
		b.Run(c.name+"/table", func(b *testing.B) {
			for b.Loop() {
				p.withTable()
			}
		})
	}
}
