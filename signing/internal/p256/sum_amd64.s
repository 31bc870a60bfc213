//go:build !purego

#include "funcdata.h"
#include "textflag.h"

// Numbers modulo the prime have here five digits of 52 bits, and a register has one digit of
// eight of them, lane by lane. A number x is held as x*2^260, and what is held need not be
// below the prime: settle gives what is a little more than 2^256 at most, and the product of
// x and y is below p + xy/2^260. So products are below 1.1p, but for those of a point that
// SPLIT gave, which is below 16p: they are below 2.1p, and go into a difference at once. What
// is taken off anywhere, three products at most, is less than the 4p that settle adds.

// The digits of p+1 that are not nought: a multiple of p that makes the lowest digit t vanish
// is t*p, since -1/p = 1 modulo 2^52, and that is t*(p+1) less t.
DATA numbers<>+0(SB)/8, $0x0000100000000000  // of 2^52
DATA numbers<>+8(SB)/8, $0x0000001000000000  // of 2^156
DATA numbers<>+16(SB)/8, $0x0000ffffffff0000 // of 2^208
// All ones of 52 bits and of 48.
DATA numbers<>+24(SB)/8, $0x000fffffffffffff
DATA numbers<>+32(SB)/8, $0x0000ffffffffffff
// The digits of 4p; the third is nought.
DATA numbers<>+40(SB)/8, $0x003ffffffffffffc
DATA numbers<>+48(SB)/8, $0x00003ffffffffffc
DATA numbers<>+56(SB)/8, $0x0000004000000000
DATA numbers<>+64(SB)/8, $0x0003fffffffc0000
// The digits of 2^260 mod p, which is 1 in its form.
DATA numbers<>+72(SB)/8, $0x0000000000000010
DATA numbers<>+80(SB)/8, $0x000f000000000000
DATA numbers<>+88(SB)/8, $0x000fffffffffffff
DATA numbers<>+96(SB)/8, $0x000ffeffffffffff
DATA numbers<>+104(SB)/8, $0x00000000000fffff
// The words of p that are neither all ones nor nought.
DATA numbers<>+112(SB)/8, $0x00000000ffffffff
DATA numbers<>+120(SB)/8, $0xffffffff00000001
GLOBL numbers<>(SB), RODATA|NOPTR, $128

#define LOWEST Z28
#define MIDDLE Z29
#define HIGHEST Z30
#define DIGIT Z31

// CARRY brings digits that are not negative and have too many bits, or are negative and
// make a number that is not, into their range. The last has room enough.
#define CARRY(shift, t0, t1, t2, t3, t4) \
	shift  $52, t0, Z27; \
	VPANDQ DIGIT, t0, t0; \
	VPADDQ Z27, t1, t1; \
	shift  $52, t1, Z27; \
	VPANDQ DIGIT, t1, t1; \
	VPADDQ Z27, t2, t2; \
	shift  $52, t2, Z27; \
	VPANDQ DIGIT, t2, t2; \
	VPADDQ Z27, t3, t3; \
	shift  $52, t3, Z27; \
	VPANDQ DIGIT, t3, t3; \
	VPADDQ Z27, t4, t4

#define LOAD(x, z0, z1, z2, z3, z4) \
	VMOVDQU64 0+x, z0; \
	VMOVDQU64 64+x, z1; \
	VMOVDQU64 128+x, z2; \
	VMOVDQU64 192+x, z3; \
	VMOVDQU64 256+x, z4

#define STORE(z0, z1, z2, z3, z4, x) \
	VMOVDQU64 z0, 0+x; \
	VMOVDQU64 z1, 64+x; \
	VMOVDQU64 z2, 128+x; \
	VMOVDQU64 z3, 192+x; \
	VMOVDQU64 z4, 256+x

// REDUCE makes the lowest digit vanish.
#define REDUCE(t0, t1, t2, t3, t4, t5) \
	VPSRLQ      $52, t0, Z27; \
	VPADDQ      Z27, t1, t1; \
	VPMADD52LUQ t0, LOWEST, t1; \
	VPMADD52HUQ t0, LOWEST, t2; \
	VPMADD52LUQ t0, MIDDLE, t3; \
	VPMADD52HUQ t0, MIDDLE, t4; \
	VPMADD52LUQ t0, HIGHEST, t4; \
	VPMADD52HUQ t0, HIGHEST, t5

// product sets the numbers at DI to the products of those at SI and CX.
TEXT product<>(SB), NOSPLIT, $0-0
	LOAD(0(SI), Z0, Z1, Z2, Z3, Z4)
	LOAD(0(CX), Z5, Z6, Z7, Z8, Z9)
	VPXORQ Z10, Z10, Z10
	VPXORQ Z11, Z11, Z11
	VPXORQ Z12, Z12, Z12
	VPXORQ Z13, Z13, Z13
	VPXORQ Z14, Z14, Z14
	VPXORQ Z15, Z15, Z15
	VPXORQ Z16, Z16, Z16
	VPXORQ Z17, Z17, Z17
	VPXORQ Z18, Z18, Z18
	VPXORQ Z19, Z19, Z19
	VPMADD52LUQ Z5, Z0, Z10
	VPMADD52LUQ Z6, Z0, Z11
	VPMADD52LUQ Z5, Z1, Z11
	VPMADD52HUQ Z5, Z0, Z11
	VPMADD52LUQ Z7, Z0, Z12
	VPMADD52LUQ Z6, Z1, Z12
	VPMADD52LUQ Z5, Z2, Z12
	VPMADD52HUQ Z6, Z0, Z12
	VPMADD52HUQ Z5, Z1, Z12
	VPMADD52LUQ Z8, Z0, Z13
	VPMADD52LUQ Z7, Z1, Z13
	VPMADD52LUQ Z6, Z2, Z13
	VPMADD52LUQ Z5, Z3, Z13
	VPMADD52HUQ Z7, Z0, Z13
	VPMADD52HUQ Z6, Z1, Z13
	VPMADD52HUQ Z5, Z2, Z13
	VPMADD52LUQ Z9, Z0, Z14
	VPMADD52LUQ Z8, Z1, Z14
	VPMADD52LUQ Z7, Z2, Z14
	VPMADD52LUQ Z6, Z3, Z14
	VPMADD52LUQ Z5, Z4, Z14
	VPMADD52HUQ Z8, Z0, Z14
	VPMADD52HUQ Z7, Z1, Z14
	VPMADD52HUQ Z6, Z2, Z14
	VPMADD52HUQ Z5, Z3, Z14
	VPMADD52LUQ Z9, Z1, Z15
	VPMADD52LUQ Z8, Z2, Z15
	VPMADD52LUQ Z7, Z3, Z15
	VPMADD52LUQ Z6, Z4, Z15
	VPMADD52HUQ Z9, Z0, Z15
	VPMADD52HUQ Z8, Z1, Z15
	VPMADD52HUQ Z7, Z2, Z15
	VPMADD52HUQ Z6, Z3, Z15
	VPMADD52HUQ Z5, Z4, Z15
	VPMADD52LUQ Z9, Z2, Z16
	VPMADD52LUQ Z8, Z3, Z16
	VPMADD52LUQ Z7, Z4, Z16
	VPMADD52HUQ Z9, Z1, Z16
	VPMADD52HUQ Z8, Z2, Z16
	VPMADD52HUQ Z7, Z3, Z16
	VPMADD52HUQ Z6, Z4, Z16
	VPMADD52LUQ Z9, Z3, Z17
	VPMADD52LUQ Z8, Z4, Z17
	VPMADD52HUQ Z9, Z2, Z17
	VPMADD52HUQ Z8, Z3, Z17
	VPMADD52HUQ Z7, Z4, Z17
	VPMADD52LUQ Z9, Z4, Z18
	VPMADD52HUQ Z9, Z3, Z18
	VPMADD52HUQ Z8, Z4, Z18
	VPMADD52HUQ Z9, Z4, Z19
	REDUCE(Z10, Z11, Z12, Z13, Z14, Z15)
	REDUCE(Z11, Z12, Z13, Z14, Z15, Z16)
	REDUCE(Z12, Z13, Z14, Z15, Z16, Z17)
	REDUCE(Z13, Z14, Z15, Z16, Z17, Z18)
	REDUCE(Z14, Z15, Z16, Z17, Z18, Z19)
	CARRY(VPSRLQ, Z15, Z16, Z17, Z18, Z19)
	STORE(Z15, Z16, Z17, Z18, Z19, 0(DI))
	RET

// settle sets the numbers at DI to those in Z0 ... Z4 and 4p, which together are not negative,
// with a multiple of p taken off: what is above 2^256, h times that, is h times
// 2^224 - 2^192 - 2^96 + 1.
TEXT settle<>(SB), NOSPLIT, $0-0
	VPADDQ.BCST numbers<>+40(SB), Z0, Z0
	VPADDQ.BCST numbers<>+48(SB), Z1, Z1
	VPADDQ.BCST numbers<>+56(SB), Z3, Z3
	VPADDQ.BCST numbers<>+64(SB), Z4, Z4
	VPSRAQ      $48, Z4, Z5
	VPANDQ.BCST numbers<>+32(SB), Z4, Z4
	VPADDQ      Z5, Z0, Z0
	VPSLLQ      $44, Z5, Z6
	VPSUBQ      Z6, Z1, Z1
	VPSLLQ      $36, Z5, Z6
	VPSUBQ      Z6, Z3, Z3
	VPSLLQ      $16, Z5, Z6
	VPADDQ      Z6, Z4, Z4
	CARRY(VPSRAQ, Z0, Z1, Z2, Z3, Z4)
	STORE(Z0, Z1, Z2, Z3, Z4, 0(DI))
	RET

// Where the numbers stand from BX: the sums, then the points that are added to them, which
// have all four coordinates when the sums are added up.
#define X 0
#define Y 320
#define ZZ 640
#define ZZZ 960
#define QX 1280
#define QY 1600
#define QZZ 1920
#define QZZZ 2240
#define H 2560
#define R 2880
#define HH 3200
#define V 3520
#define SAVED 3840

#define MUL(z, x, y) \
	LEAQ x(BX), SI; \
	LEAQ y(BX), CX; \
	LEAQ z(BX), DI; \
	CALL product<>(SB)

#define LESS(x) \
	VPSUBQ x+0(BX), Z0, Z0; \
	VPSUBQ x+64(BX), Z1, Z1; \
	VPSUBQ x+128(BX), Z2, Z2; \
	VPSUBQ x+192(BX), Z3, Z3; \
	VPSUBQ x+256(BX), Z4, Z4

#define SETTLE(z) \
	LEAQ z(BX), DI; \
	CALL settle<>(SB)

#define SUB(z, x, y) \
	LOAD(x(BX), Z0, Z1, Z2, Z3, Z4); \
	LESS(y); \
	SETTLE(z)

// SPLIT makes digits of four words of 64 bits of each lane, times 16: what is held as
// x*2^256 is x*2^260 then.
#define SPLIT(at) \
	VMOVDQU64 at+0(AX), Z0; \
	VMOVDQU64 at+64(AX), Z1; \
	VMOVDQU64 at+128(AX), Z2; \
	VMOVDQU64 at+192(AX), Z3; \
	VPSRLQ    $12, Z3, Z4; \
	VPSLLQ    $40, Z3, Z3; \
	VPSRLQ    $24, Z2, Z5; \
	VPORQ     Z5, Z3, Z3; \
	VPSLLQ    $28, Z2, Z2; \
	VPSRLQ    $36, Z1, Z5; \
	VPORQ     Z5, Z2, Z2; \
	VPSLLQ    $16, Z1, Z1; \
	VPSRLQ    $48, Z0, Z5; \
	VPORQ     Z5, Z1, Z1; \
	VPSLLQ    $4, Z0, Z0; \
	VPANDQ    DIGIT, Z0, Z0; \
	VPANDQ    DIGIT, Z1, Z1; \
	VPANDQ    DIGIT, Z2, Z2; \
	VPANDQ    DIGIT, Z3, Z3

// ONE sets numbers to 1.
#define ONE(z) \
	VPBROADCASTQ numbers<>+72(SB), Z0; \
	VPBROADCASTQ numbers<>+80(SB), Z1; \
	VPBROADCASTQ numbers<>+88(SB), Z2; \
	VPBROADCASTQ numbers<>+96(SB), Z3; \
	VPBROADCASTQ numbers<>+104(SB), Z4; \
	STORE(Z0, Z1, Z2, Z3, Z4, z(BX))

// KEEP puts back into lanes without a point, those that K1 has not, what Q... have of a sum.
#define KEEP(x, q) \
	LOAD(q(BX), Z0, Z1, Z2, Z3, Z4); \
	VMOVDQU64 x+0(BX), K1, Z0; \
	VMOVDQU64 x+64(BX), K1, Z1; \
	VMOVDQU64 x+128(BX), K1, Z2; \
	VMOVDQU64 x+192(BX), K1, Z3; \
	VMOVDQU64 x+256(BX), K1, Z4; \
	STORE(Z0, Z1, Z2, Z3, Z4, x(BX))

#define COPY(x, z, count) \
	LEAQ x(BX), SI; \
	LEAQ z(BX), DI; \
	MOVQ $count, CX; \
	REP; MOVSQ

// ROTATE sets Q... to a coordinate of the sum that is so many lanes further on.
#define ROTATE(lanes, x, q) \
	LOAD(x(BX), Z0, Z1, Z2, Z3, Z4); \
	VALIGNQ $lanes, Z0, Z0, Z0; \
	VALIGNQ $lanes, Z1, Z1, Z1; \
	VALIGNQ $lanes, Z2, Z2, Z2; \
	VALIGNQ $lanes, Z3, Z3, Z3; \
	VALIGNQ $lanes, Z4, Z4, Z4; \
	STORE(Z0, Z1, Z2, Z3, Z4, q(BX))

// FOLD adds to each lane's sum that of the lane so far on: extended.add of two extended
// points, of which both are brought to one denominator first.
#define FOLD(lanes) \
	ROTATE(lanes, X, QX); \
	ROTATE(lanes, Y, QY); \
	ROTATE(lanes, ZZ, QZZ); \
	ROTATE(lanes, ZZZ, QZZZ); \
	MUL(H, QX, ZZ); \
	MUL(R, QY, ZZZ); \
	MUL(X, X, QZZ); \
	MUL(Y, Y, QZZZ); \
	MUL(ZZ, ZZ, QZZ); \
	MUL(ZZZ, ZZZ, QZZZ); \
	CALL meet<>(SB)

// meet is extended.add from where both points have one denominator, zz and zzz. Where both
// have one abscissa h is nought, and the new zz, and every zz that comes of it.
TEXT meet<>(SB), NOSPLIT, $0-0
	SUB(H, H, X)
	SUB(R, R, Y)
	MUL(HH, H, H)
	MUL(V, X, HH)
	MUL(H, H, HH)
	MUL(X, R, R)
	MUL(ZZ, ZZ, HH)
	MUL(Y, Y, H)
	MUL(ZZZ, ZZZ, H)
	LOAD(X(BX), Z0, Z1, Z2, Z3, Z4)
	LESS(H)
	LESS(V)
	LESS(V)
	SETTLE(X)
	SUB(V, V, X)
	MUL(V, V, R)
	SUB(Y, V, Y)
	RET

// func sumIFMA(blocks *block, n int, sum *[2][5]uint64)
TEXT ·sumIFMA(SB), 0, $5184-24
	NO_LOCAL_POINTERS
	MOVQ         blocks+0(FP), AX
	MOVQ         n+8(FP), DX
	LEAQ         63(SP), BX
	ANDQ         $~63, BX
	VPBROADCASTQ numbers<>+0(SB), LOWEST
	VPBROADCASTQ numbers<>+8(SB), MIDDLE
	VPBROADCASTQ numbers<>+16(SB), HIGHEST
	VPBROADCASTQ numbers<>+24(SB), DIGIT

	SPLIT(0)
	SETTLE(X)
	SPLIT(256)
	SETTLE(Y)
	ONE(ZZ)
	ONE(ZZZ)

next:
	ADDQ  $512, AX
	SUBQ  $8, DX
	JLE   fold
	CMPQ  DX, $8
	JGE   add
	MOVQ  DX, CX
	MOVL  $1, R8
	SHLL  CX, R8
	DECL  R8
	KMOVW R8, K1
	COPY(X, SAVED, 160)

add:
	SPLIT(0)
	STORE(Z0, Z1, Z2, Z3, Z4, QX(BX))
	SPLIT(256)
	STORE(Z0, Z1, Z2, Z3, Z4, QY(BX))
	MUL(H, QX, ZZ)
	MUL(R, QY, ZZZ)
	CALL meet<>(SB)
	CMPQ DX, $8
	JGE  next
	KEEP(X, SAVED)
	KEEP(Y, SAVED+320)
	KEEP(ZZ, SAVED+640)
	KEEP(ZZZ, SAVED+960)

fold:
	FOLD(4)
	FOLD(2)
	FOLD(1)
	MOVQ sum+16(FP), DI
	MOVQ X+0(BX), AX
	MOVQ AX, 0(DI)
	MOVQ X+64(BX), AX
	MOVQ AX, 8(DI)
	MOVQ X+128(BX), AX
	MOVQ AX, 16(DI)
	MOVQ X+192(BX), AX
	MOVQ AX, 24(DI)
	MOVQ X+256(BX), AX
	MOVQ AX, 32(DI)
	MOVQ ZZ+0(BX), AX
	MOVQ AX, 40(DI)
	MOVQ ZZ+64(BX), AX
	MOVQ AX, 48(DI)
	MOVQ ZZ+128(BX), AX
	MOVQ AX, 56(DI)
	MOVQ ZZ+192(BX), AX
	MOVQ AX, 64(DI)
	MOVQ ZZ+256(BX), AX
	MOVQ AX, 72(DI)
	VZEROUPPER
	RET

// func selectIFMA(blocks *[8]block, table *[8][8]block, choices *[8]choice)
TEXT ·selectIFMA(SB), NOSPLIT, $0-24
	MOVQ         blocks+0(FP), DI
	MOVQ         table+8(FP), SI
	MOVQ         choices+16(FP), DX
	VPTERNLOGQ   $0xff, Z20, Z20, Z20 // all ones
	VPXORQ       Z21, Z21, Z21        // nought
	VPSUBQ       Z20, Z21, Z22        // one
	VPBROADCASTQ numbers<>+112(SB), Z23
	VPBROADCASTQ numbers<>+120(SB), Z24
	MOVQ         $8, R8

rows:
	VMOVDQU64 0(DX), Z8
	VMOVDQU64 64(DX), Z9
	VPXORQ    Z10, Z10, Z10
	MOVQ      $8, R9

	// Every entry is read, and a lane keeps the one that it is to have.
entry:
	VPCMPEQQ  Z8, Z10, K1
	VPADDQ    Z22, Z10, Z10
	VMOVDQU64 0(SI), Z11
	VMOVDQU64 64(SI), Z12
	VMOVDQU64 128(SI), Z13
	VMOVDQU64 192(SI), Z14
	VMOVDQU64 256(SI), Z15
	VMOVDQU64 320(SI), Z16
	VMOVDQU64 384(SI), Z17
	VMOVDQU64 448(SI), Z18
	VMOVDQA64 Z11, K1, Z0
	VMOVDQA64 Z12, K1, Z1
	VMOVDQA64 Z13, K1, Z2
	VMOVDQA64 Z14, K1, Z3
	VMOVDQA64 Z15, K1, Z4
	VMOVDQA64 Z16, K1, Z5
	VMOVDQA64 Z17, K1, Z6
	VMOVDQA64 Z18, K1, Z7
	ADDQ      $512, SI
	DECQ      R9
	JNZ       entry

	// p - y, and of it what is to be negative. Words are less one where the words below
	// have borrowed: the lowest never does, its word of p is all ones.
	VPSUBQ    Z4, Z20, Z11
	VPSUBQ    Z5, Z23, Z12
	VPCMPUQ   $6, Z23, Z5, K1 // above
	VPSUBQ    Z6, Z21, Z13
	VPSUBQ    Z22, Z13, K1, Z13
	VPTESTMQ  Z6, Z6, K2
	KORW      K1, K2, K2
	VPSUBQ    Z7, Z24, Z14
	VPSUBQ    Z22, Z14, K2, Z14
	VPTESTMQ  Z9, Z9, K3
	VMOVDQA64 Z11, K3, Z4
	VMOVDQA64 Z12, K3, Z5
	VMOVDQA64 Z13, K3, Z6
	VMOVDQA64 Z14, K3, Z7

	VMOVDQU64 Z0, 0(DI)
	VMOVDQU64 Z1, 64(DI)
	VMOVDQU64 Z2, 128(DI)
	VMOVDQU64 Z3, 192(DI)
	VMOVDQU64 Z4, 256(DI)
	VMOVDQU64 Z5, 320(DI)
	VMOVDQU64 Z6, 384(DI)
	VMOVDQU64 Z7, 448(DI)
	ADDQ      $512, DI
	ADDQ      $128, DX
	DECQ      R8
	JNZ       rows
	VZEROUPPER
	RET
