//go:build !purego

#include "textflag.h"

// The highest word of the prime. The others are 2^64-1, 2^32-1 and 0.
#define PRIME3 $0xffffffff00000001

// REDUCE is fold of field.go: it makes the lowest word t0 vanish and adds what that takes
// to the five words above it. R15 is PRIME3.
#define REDUCE(t0, t1, t2, t3, t4, t5) \
	MOVQ  t0, DX; \
	MOVQ  t0, AX; \
	SHLQ  $32, AX; \
	MULXQ R15, BX, R14; \
	SHRQ  $32, DX; \
	ADDQ  AX, t1; \
	ADCQ  DX, t2; \
	ADCQ  BX, t3; \
	ADCQ  R14, t4; \
	ADCQ  $0, t5

// ROW adds x times a word of y to t1 ... t5; t0 becomes the word above them.
#define ROW(word, t1, t2, t3, t4, t5, t0) \
	MOVQ  word(CX), DX; \
	XORQ  t0, t0; \ // and no carry in either chain
	MULXQ 0(SI), AX, BX; \
	ADCXQ AX, t1; \
	ADOXQ BX, t2; \
	MULXQ 8(SI), AX, BX; \
	ADCXQ AX, t2; \
	ADOXQ BX, t3; \
	MULXQ 16(SI), AX, BX; \
	ADCXQ AX, t3; \
	ADOXQ BX, t4; \
	MULXQ 24(SI), AX, BX; \
	ADCXQ AX, t4; \
	ADOXQ BX, t5; \
	ADCXQ t0, t5; \
	ADOXQ t0, t0; \
	ADCQ  $0, t0

// mul sets the element at DI to the product of those at SI and CX.
TEXT mul<>(SB), NOSPLIT, $0-0
	MOVQ  PRIME3, R15
	MOVQ  0(CX), DX
	MULXQ 0(SI), R8, R9
	MULXQ 8(SI), AX, R10
	ADDQ  AX, R9
	MULXQ 16(SI), AX, R11
	ADCQ  AX, R10
	MULXQ 24(SI), AX, R12
	ADCQ  AX, R11
	ADCQ  $0, R12
	XORQ  R13, R13
	REDUCE(R8, R9, R10, R11, R12, R13)
	ROW(8, R9, R10, R11, R12, R13, R8)
	REDUCE(R9, R10, R11, R12, R13, R8)
	ROW(16, R10, R11, R12, R13, R8, R9)
	REDUCE(R10, R11, R12, R13, R8, R9)
	ROW(24, R11, R12, R13, R8, R9, R10)
	REDUCE(R11, R12, R13, R8, R9, R10)

	// Below 2p: the prime is taken off, and put back when it was too much.
	MOVQ    R12, AX
	MOVQ    R13, BX
	MOVQ    R8, CX
	MOVQ    R9, DX
	MOVL    $0xffffffff, R14
	SUBQ    $-1, R12
	SBBQ    R14, R13
	SBBQ    $0, R8
	SBBQ    R15, R9
	SBBQ    $0, R10
	CMOVQCS AX, R12
	CMOVQCS BX, R13
	CMOVQCS CX, R8
	CMOVQCS DX, R9
	MOVQ    R12, 0(DI)
	MOVQ    R13, 8(DI)
	MOVQ    R8, 16(DI)
	MOVQ    R9, 24(DI)
	RET

// sub sets the element at DI to that at SI less that at CX.
TEXT sub<>(SB), NOSPLIT, $0-0
	MOVQ 0(SI), R8
	MOVQ 8(SI), R9
	MOVQ 16(SI), R10
	MOVQ 24(SI), R11
	SUBQ 0(CX), R8
	SBBQ 8(CX), R9
	SBBQ 16(CX), R10
	SBBQ 24(CX), R11
	SBBQ AX, AX        // all ones when the prime has to be added
	MOVQ AX, BX
	SHRQ $32, BX
	MOVQ PRIME3, DX
	ANDQ AX, DX
	ADDQ AX, R8
	ADCQ BX, R9
	ADCQ $0, R10
	ADCQ DX, R11
	MOVQ R8, 0(DI)
	MOVQ R9, 8(DI)
	MOVQ R10, 16(DI)
	MOVQ R11, 24(DI)
	RET

// Where the coordinates stand, and the elements of the frame.
#define X(p) 0(p)
#define Y(p) 32(p)
#define ZZ(p) 64(p)
#define ZZZ(p) 96(p)
#define H 0(SP)
#define R 32(SP)
#define HH 64(SP)
#define V 96(SP)

// func addADX(p *extended, q *affine) bool
TEXT ·addADX(SB), NOSPLIT, $128-17
	// h = q.x*zz - x, r = q.y*zzz - y
	MOVQ q+8(FP), SI
	MOVQ p+0(FP), CX
	LEAQ ZZ(CX), CX
	LEAQ H, DI
	CALL mul<>(SB)
	MOVQ q+8(FP), SI
	LEAQ Y(SI), SI
	MOVQ p+0(FP), CX
	LEAQ ZZZ(CX), CX
	LEAQ R, DI
	CALL mul<>(SB)
	LEAQ R, SI
	MOVQ p+0(FP), CX
	LEAQ Y(CX), CX
	MOVQ SI, DI
	CALL sub<>(SB)
	LEAQ H, SI
	MOVQ p+0(FP), CX
	MOVQ SI, DI
	CALL sub<>(SB)
	ORQ  R9, R8 // what sub has left there
	ORQ  R10, R8
	ORQ  R11, R8
	JZ   special

	// hh = h^2, h = h^3, v = x*hh, zz = zz*hh, zzz = zzz*h
	LEAQ H, SI
	MOVQ SI, CX
	LEAQ HH, DI
	CALL mul<>(SB)
	LEAQ H, SI
	LEAQ HH, CX
	MOVQ SI, DI
	CALL mul<>(SB)
	MOVQ p+0(FP), SI
	LEAQ HH, CX
	LEAQ V, DI
	CALL mul<>(SB)
	MOVQ p+0(FP), SI
	LEAQ ZZ(SI), SI
	LEAQ HH, CX
	MOVQ SI, DI
	CALL mul<>(SB)
	MOVQ p+0(FP), SI
	LEAQ ZZZ(SI), SI
	LEAQ H, CX
	MOVQ SI, DI
	CALL mul<>(SB)

	// x = r^2 - h - v - v
	LEAQ R, SI
	MOVQ SI, CX
	MOVQ p+0(FP), DI
	CALL mul<>(SB)
	MOVQ p+0(FP), SI
	LEAQ H, CX
	MOVQ SI, DI
	CALL sub<>(SB)
	LEAQ V, CX
	CALL sub<>(SB)
	CALL sub<>(SB)

	// y = (v - x)*r - h*y
	LEAQ V, SI
	MOVQ p+0(FP), CX
	LEAQ V, DI
	CALL sub<>(SB)
	LEAQ V, SI
	LEAQ R, CX
	MOVQ SI, DI
	CALL mul<>(SB)
	LEAQ H, SI
	MOVQ p+0(FP), CX
	LEAQ Y(CX), CX
	MOVQ SI, DI
	CALL mul<>(SB)
	LEAQ V, SI
	LEAQ H, CX
	MOVQ p+0(FP), DI
	LEAQ Y(DI), DI
	CALL sub<>(SB)
	MOVB $1, ret+16(FP)
	RET

special:
	MOVB $0, ret+16(FP)
	RET
