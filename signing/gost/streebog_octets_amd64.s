//go:build !purego

#include "textflag.h"

// WORD takes word i of a state, in AX, apart: each of its octets chooses a row of
// table i, behind DX, which is added to one word of the result in R8 to R15. An octet
// costs two and a half instructions, two octets sharing a shift: AL and AH are read as
// they are. The first word (MOVQ) begins the sums, the others (XORQ) go on.
#define WORD(i, add) \
	MOVBLZX AL, CX; \
	MOVBLZX AH, DI; \
	SHRQ $16, AX; \
	add (2048*i)(DX)(CX*8), R8; \
	add (2048*i)(DX)(DI*8), R9; \
	MOVBLZX AL, CX; \
	MOVBLZX AH, DI; \
	SHRQ $16, AX; \
	add (2048*i)(DX)(CX*8), R10; \
	add (2048*i)(DX)(DI*8), R11; \
	MOVBLZX AL, CX; \
	MOVBLZX AH, DI; \
	SHRQ $16, AX; \
	add (2048*i)(DX)(CX*8), R12; \
	add (2048*i)(DX)(DI*8), R13; \
	MOVBLZX AL, CX; \
	MOVBLZX AH, DI; \
	add (2048*i)(DX)(CX*8), R14; \
	add (2048*i)(DX)(DI*8), R15

// NEXT is the next word of the state at x(SP) and of what is added to it, behind SI.
#define NEXT(x, i) \
	MOVQ (x+8*i)(SP), AX; \
	XORQ (8*i)(SI), AX

// LPS sets the state at x(SP) to LPS of itself and what is behind SI.
#define LPS(x) \
	NEXT(x, 0); \
	WORD(0, MOVQ); \
	NEXT(x, 1); \
	WORD(1, XORQ); \
	NEXT(x, 2); \
	WORD(2, XORQ); \
	NEXT(x, 3); \
	WORD(3, XORQ); \
	NEXT(x, 4); \
	WORD(4, XORQ); \
	NEXT(x, 5); \
	WORD(5, XORQ); \
	NEXT(x, 6); \
	WORD(6, XORQ); \
	NEXT(x, 7); \
	WORD(7, XORQ); \
	MOVQ R8, (x)(SP); \
	MOVQ R9, (x+8)(SP); \
	MOVQ R10, (x+16)(SP); \
	MOVQ R11, (x+24)(SP); \
	MOVQ R12, (x+32)(SP); \
	MOVQ R13, (x+40)(SP); \
	MOVQ R14, (x+48)(SP); \
	MOVQ R15, (x+56)(SP)

// The key is at 0(SP), the state at 64(SP), the rounds left at 128(SP).

// func compressOctets(h, n, m *[8]uint64, t *[8][256]uint64, c *[12][8]uint64)
TEXT ·compressOctets(SB), NOSPLIT, $136-40
	MOVQ h+0(FP), AX
	MOVQ m+16(FP), BX
	MOVOU 0(AX), X0
	MOVOU X0, 0(SP)
	MOVOU 0(BX), X1
	MOVOU X1, 64(SP)
	MOVOU 16(AX), X0
	MOVOU X0, 16(SP)
	MOVOU 16(BX), X1
	MOVOU X1, 80(SP)
	MOVOU 32(AX), X0
	MOVOU X0, 32(SP)
	MOVOU 32(BX), X1
	MOVOU X1, 96(SP)
	MOVOU 48(AX), X0
	MOVOU X0, 48(SP)
	MOVOU 48(BX), X1
	MOVOU X1, 112(SP)
	MOVQ t+24(FP), DX
	MOVQ n+8(FP), SI
	LPS(0)
	MOVQ c+32(FP), BX
	MOVQ $11, 128(SP)

rounds:
	LEAQ 0(SP), SI
	LPS(64)
	MOVQ BX, SI
	LPS(0)
	ADDQ $64, BX
	DECQ 128(SP)
	JNZ  rounds

	LEAQ 0(SP), SI
	LPS(64)
	MOVQ BX, SI
	LPS(0)
	MOVQ h+0(FP), AX
	MOVQ m+16(FP), BX
	MOVOU 0(AX), X0
	MOVOU 0(BX), X1
	MOVOU 0(SP), X2
	MOVOU 64(SP), X3
	PXOR  X1, X0
	PXOR  X2, X0
	PXOR  X3, X0
	MOVOU X0, 0(AX)
	MOVOU 16(AX), X0
	MOVOU 16(BX), X1
	MOVOU 16(SP), X2
	MOVOU 80(SP), X3
	PXOR  X1, X0
	PXOR  X2, X0
	PXOR  X3, X0
	MOVOU X0, 16(AX)
	MOVOU 32(AX), X0
	MOVOU 32(BX), X1
	MOVOU 32(SP), X2
	MOVOU 96(SP), X3
	PXOR  X1, X0
	PXOR  X2, X0
	PXOR  X3, X0
	MOVOU X0, 32(AX)
	MOVOU 48(AX), X0
	MOVOU 48(BX), X1
	MOVOU 48(SP), X2
	MOVOU 112(SP), X3
	PXOR  X1, X0
	PXOR  X2, X0
	PXOR  X3, X0
	MOVOU X0, 48(AX)
	RET
