package gost

import (
	"encoding/asn1"
	"encoding/hex"
	"slices"
)

// Curve is a set of parameters of GOST R 34.10 under one object identifier.
// Several identifiers may name the same curve; a key keeps the one it came
// with.
type Curve struct {
	name  string
	oid   asn1.ObjectIdentifier
	size  int
	order []byte
	group group
}

// Name returns the name of the parameter set in its standard, such as
// "id-tc26-gost-3410-12-256-paramSetA".
func (c *Curve) Name() string { return c.name }

// OID returns the object identifier of the parameter set.
func (c *Curve) OID() asn1.ObjectIdentifier { return slices.Clone(c.oid) }

// Size returns the length of a coordinate, a private key, a digest and each
// half of a signature in octets: 32 or 64.
func (c *Curve) Size() int { return c.size }

// group is the arithmetic of a curve; its implementations are the two widths.
// Numbers are big-endian octets of the width of the curve. All methods may be
// called by several goroutines.
type group interface {
	// inRange reports 0 < k < q.
	inRange(k []byte) bool
	// base returns k times the generator, 0 < k < q, in constant time.
	base(k []byte) (x, y []byte)
	// sign makes a signature with key d, digest e and nonce k, in constant
	// time. It is not ok with a nonce that gives r = 0 or s = 0.
	sign(d, e, k []byte) (r, s []byte, ok bool)
	// admit checks that (x, y) is a point of the subgroup of order q.
	admit(x, y []byte) (point, error)
}

// point is a point that its group admitted.
type point interface {
	// verify checks a signature whose r and s are inRange.
	verify(e, r, s []byte) bool
	// withTable returns the same point with tables that speed verify up.
	withTable() point
}

// The parameter sets. CryptoPro's of RFC 4357 serve GOST R 34.10-2001 and
// -2012; those of RFC 7836 serve -2012. CurveTest and Curve512Test are those of
// the standards' examples and not for use.
var (
	CurveTest          = curve("id-GostR3410-2001-TestParamSet", &test256, 1, 2, 643, 2, 2, 35, 0)
	CurveCryptoProA    = curve("id-GostR3410-2001-CryptoPro-A-ParamSet", &tc26B256, 1, 2, 643, 2, 2, 35, 1)
	CurveCryptoProB    = curve("id-GostR3410-2001-CryptoPro-B-ParamSet", &tc26C256, 1, 2, 643, 2, 2, 35, 2)
	CurveCryptoProC    = curve("id-GostR3410-2001-CryptoPro-C-ParamSet", &tc26D256, 1, 2, 643, 2, 2, 35, 3)
	CurveCryptoProXchA = curve("id-GostR3410-2001-CryptoPro-XchA-ParamSet", &tc26B256, 1, 2, 643, 2, 2, 36, 0)
	CurveCryptoProXchB = curve("id-GostR3410-2001-CryptoPro-XchB-ParamSet", &tc26D256, 1, 2, 643, 2, 2, 36, 1)

	Curve256A = curve("id-tc26-gost-3410-12-256-paramSetA", &tc26A256, 1, 2, 643, 7, 1, 2, 1, 1, 1)
	Curve256B = curve("id-tc26-gost-3410-12-256-paramSetB", &tc26B256, 1, 2, 643, 7, 1, 2, 1, 1, 2)
	Curve256C = curve("id-tc26-gost-3410-12-256-paramSetC", &tc26C256, 1, 2, 643, 7, 1, 2, 1, 1, 3)
	Curve256D = curve("id-tc26-gost-3410-12-256-paramSetD", &tc26D256, 1, 2, 643, 7, 1, 2, 1, 1, 4)

	Curve512Test = curve("id-tc26-gost-3410-12-512-paramSetTest", &test512, 1, 2, 643, 7, 1, 2, 1, 2, 0)
	Curve512A    = curve("id-tc26-gost-3410-12-512-paramSetA", &tc26A512, 1, 2, 643, 7, 1, 2, 1, 2, 1)
	Curve512B    = curve("id-tc26-gost-3410-12-512-paramSetB", &tc26B512, 1, 2, 643, 7, 1, 2, 1, 2, 2)
	Curve512C    = curve("id-tc26-gost-3410-12-512-paramSetC", &tc26C512, 1, 2, 643, 7, 1, 2, 1, 2, 3)
)

// Curves returns every parameter set known here.
func Curves() []*Curve {
	return []*Curve{
		CurveTest, CurveCryptoProA, CurveCryptoProB, CurveCryptoProC, CurveCryptoProXchA, CurveCryptoProXchB,
		Curve256A, Curve256B, Curve256C, Curve256D, Curve512Test, Curve512A, Curve512B, Curve512C,
	}
}

// CurveByOID finds a parameter set; ok is false when it is not known here.
func CurveByOID(oid asn1.ObjectIdentifier) (c *Curve, ok bool) {
	for _, c := range Curves() {
		if c.oid.Equal(oid) {
			return c, true
		}
	}
	return nil, false
}

func curve(name string, p *parameters, oid ...int) *Curve {
	if p.group == nil {
		if len(p.p) == octets256 {
			p.group = newGroup256(p)
		} else {
			p.group = newGroup512(p)
		}
	}
	return &Curve{name: name, oid: oid, size: len(p.p), order: p.q, group: p.group}
}

// parameters are the numbers of a curve y^2 = x^3 + ax + b over the field of p,
// with the point (x, y) of prime order q. The curves with cofactor 4 have a
// twisted Edwards form as well, u^2 + v^2 = 1 + d*u^2*v^2 (RFC 7836).
type parameters struct {
	p, q, a, b, x, y []byte
	cofactor         int
	d                []byte // nil where there is no such form
	group            group
}

// number reads a constant of this file.
func number(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

var test256 = parameters{
	p:        number("8000000000000000000000000000000000000000000000000000000000000431"),
	q:        number("8000000000000000000000000000000150fe8a1892976154c59cfc193accf5b3"),
	a:        number("0000000000000000000000000000000000000000000000000000000000000007"),
	b:        number("5fbff498aa938ce739b8e022fbafef40563f6e6a3472fc2a514c0ce9dae23b7e"),
	x:        number("0000000000000000000000000000000000000000000000000000000000000002"),
	y:        number("08e2a8a0e65147d4bd6316030e16d19c85c97f0a9ca267122b96abbcea7e8fc8"),
	cofactor: 1,
}

var tc26A256 = parameters{
	p:        number("fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffd97"),
	q:        number("400000000000000000000000000000000fd8cddfc87b6635c115af556c360c67"),
	a:        number("c2173f1513981673af4892c23035a27ce25e2013bf95aa33b22c656f277e7335"),
	b:        number("295f9bae7428ed9ccc20e7c359a9d41a22fccd9108e17bf7ba9337a6f8ae9513"),
	x:        number("91e38443a5e82c0d880923425712b2bb658b9196932e02c78b2582fe742daa28"),
	y:        number("32879423ab1a0375895786c4bb46e9565fde0b5344766740af268adb32322e5c"),
	cofactor: 4,
	d:        number("0605f6b7c183fa81578bc39cfad518132b9df62897009af7e522c32d6dc7bffb"),
}

var tc26B256 = parameters{
	p:        number("fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffd97"),
	q:        number("ffffffffffffffffffffffffffffffff6c611070995ad10045841b09b761b893"),
	a:        number("fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffd94"),
	b:        number("00000000000000000000000000000000000000000000000000000000000000a6"),
	x:        number("0000000000000000000000000000000000000000000000000000000000000001"),
	y:        number("8d91e471e0989cda27df505a453f2b7635294f2ddf23e3b122acc99c9e9f1e14"),
	cofactor: 1,
}

var tc26C256 = parameters{
	p:        number("8000000000000000000000000000000000000000000000000000000000000c99"),
	q:        number("800000000000000000000000000000015f700cfff1a624e5e497161bcc8a198f"),
	a:        number("8000000000000000000000000000000000000000000000000000000000000c96"),
	b:        number("3e1af419a269a5f866a7d3c25c3df80ae979259373ff2b182f49d4ce7e1bbc8b"),
	x:        number("0000000000000000000000000000000000000000000000000000000000000001"),
	y:        number("3fa8124359f96680b83d1c3eb2c070e5c545c9858d03ecfb744bf8d717717efc"),
	cofactor: 1,
}

var tc26D256 = parameters{
	p:        number("9b9f605f5a858107ab1ec85e6b41c8aacf846e86789051d37998f7b9022d759b"),
	q:        number("9b9f605f5a858107ab1ec85e6b41c8aa582ca3511eddfb74f02f3a6598980bb9"),
	a:        number("9b9f605f5a858107ab1ec85e6b41c8aacf846e86789051d37998f7b9022d7598"),
	b:        number("000000000000000000000000000000000000000000000000000000000000805a"),
	x:        number("0000000000000000000000000000000000000000000000000000000000000000"),
	y:        number("41ece55743711a8c3cbf3783cd08c0ee4d4dc440d4641a8f366e550dfdb3bb67"),
	cofactor: 1,
}

var test512 = parameters{
	p: number("4531acd1fe0023c7550d267b6b2fee80922b14b2ffb90f04d4eb7c09b5d2d15d" +
		"f1d852741af4704a0458047e80e4546d35b8336fac224dd81664bbf528be6373"),
	q: number("4531acd1fe0023c7550d267b6b2fee80922b14b2ffb90f04d4eb7c09b5d2d15d" +
		"a82f2d7ecb1dbac719905c5eecc423f1d86e25edbe23c595d644aaf187e6e6df"),
	a: number("0000000000000000000000000000000000000000000000000000000000000000" +
		"0000000000000000000000000000000000000000000000000000000000000007"),
	b: number("1cff0806a31116da29d8cfa54e57eb748bc5f377e49400fdd788b649eca1ac43" +
		"61834013b2ad7322480a89ca58e0cf74bc9e540c2add6897fad0a3084f302adc"),
	x: number("24d19cc64572ee30f396bf6ebbfd7a6c5213b3b3d7057cc825f91093a68cd762" +
		"fd60611262cd838dc6b60aa7eee804e28bc849977fac33b4b530f1b120248a9a"),
	y: number("2bb312a43bd2ce6e0d020613c857acddcfbf061e91e5f2c3f32447c259f39b2c" +
		"83ab156d77f1496bf7eb3351e1ee4e43dc1a18b91b24640b6dbb92cb1add371e"),
	cofactor: 1,
}

var tc26A512 = parameters{
	p: number("ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff" +
		"fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffdc7"),
	q: number("ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff" +
		"27e69532f48d89116ff22b8d4e0560609b4b38abfad2b85dcacdb1411f10b275"),
	a: number("ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff" +
		"fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffdc4"),
	b: number("e8c2505dedfc86ddc1bd0b2b6667f1da34b82574761cb0e879bd081cfd0b6265" +
		"ee3cb090f30d27614cb4574010da90dd862ef9d4ebee4761503190785a71c760"),
	x: number("0000000000000000000000000000000000000000000000000000000000000000" +
		"0000000000000000000000000000000000000000000000000000000000000003"),
	y: number("7503cfe87a836ae3a61b8816e25450e6ce5e1c93acf1abc1778064fdcbefa921" +
		"df1626be4fd036e93d75e6a50e3a41e98028fe5fc235f5b889a589cb5215f2a4"),
	cofactor: 1,
}

var tc26B512 = parameters{
	p: number("8000000000000000000000000000000000000000000000000000000000000000" +
		"000000000000000000000000000000000000000000000000000000000000006f"),
	q: number("8000000000000000000000000000000000000000000000000000000000000001" +
		"49a1ec142565a545acfdb77bd9d40cfa8b996712101bea0ec6346c54374f25bd"),
	a: number("8000000000000000000000000000000000000000000000000000000000000000" +
		"000000000000000000000000000000000000000000000000000000000000006c"),
	b: number("687d1b459dc841457e3e06cf6f5e2517b97c7d614af138bcbf85dc806c4b289f" +
		"3e965d2db1416d217f8b276fad1ab69c50f78bee1fa3106efb8ccbc7c5140116"),
	x: number("0000000000000000000000000000000000000000000000000000000000000000" +
		"0000000000000000000000000000000000000000000000000000000000000002"),
	y: number("1a8f7eda389b094c2c071e3647a8940f3c123b697578c213be6dd9e6c8ec7335" +
		"dcb228fd1edf4a39152cbcaaf8c0398828041055f94ceeec7e21340780fe41bd"),
	cofactor: 1,
}

var tc26C512 = parameters{
	p: number("ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff" +
		"fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffdc7"),
	q: number("3fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff" +
		"c98cdba46506ab004c33a9ff5147502cc8eda9e7a769a12694623cef47f023ed"),
	a: number("dc9203e514a721875485a529d2c722fb187bc8980eb866644de41c68e1430645" +
		"46e861c0e2c9edd92ade71f46fcf50ff2ad97f951fda9f2a2eb6546f39689bd3"),
	b: number("b4c4ee28cebc6c2c8ac12952cf37f16ac7efb6a9f69f4b57ffda2e4f0de5ade0" +
		"38cbc2fff719d2c18de0284b8bfef3b52b8cc7a5f5bf0a3c8d2319a5312557e1"),
	x: number("e2e31edfc23de7bdebe241ce593ef5de2295b7a9cbaef021d385f7074cea043a" +
		"a27272a7ae602bf2a7b9033db9ed3610c6fb85487eae97aac5bc7928c1950148"),
	y: number("f5ce40d95b5eb899abbccff5911cb8577939804d6527378b8c108c3d2090ff9b" +
		"e18e2d33e3021ed2ef32d85822423b6304f726aa854bae07d0396e9a9addc40f"),
	cofactor: 4,
	d: number("9e4f5d8c017d8d9f13a5cf3cdf5bfe4dab402d54198e31ebde28a0621050439c" +
		"a6b39e0a515c06b304e2ce43e79e369e91a0cfc2bc2a22b4ca302dbb33ee7550"),
}
