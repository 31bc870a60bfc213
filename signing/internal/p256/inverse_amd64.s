//go:build !purego

#include "textflag.h"

// Where the numbers stand of a division, five digits each, and of a modulus what stands
// behind its own.
#define F 0
#define G 40
#define D 80
#define E 120
#define INVERSE 40

// eta, and how often the modulus is added to d and e.
#define ETA 0(SP)
#define MD 8(SP)
#define ME 16(SP)

// PLUS adds a*x to a number of two words.
#define PLUS(a, x, low, high) \
	MOVQ  x, AX; \
	IMULQ a; \
	ADDQ  AX, low; \
	ADCQ  DX, high

// TIMES sets it to that.
#define TIMES(a, x, low, high) \
	MOVQ  x, AX; \
	IMULQ a; \
	MOVQ  AX, low; \
	MOVQ  DX, high

// CUT takes its last digit off.
#define CUT(low, high) \
	SHRQ $62, low; \
	LEAQ (low)(high*4), low; \
	SARQ $62, high

// BOTH adds to (R9, R8) and (R11, R10) what the steps make of the digits i of x and y, which
// it leaves in BX and CX.
#define BOTH(x, y, i) \
	MOVQ x+8*i(DI), BX; \
	MOVQ y+8*i(DI), CX; \
	PLUS(R12, BX, R8, R9); \
	PLUS(R13, CX, R8, R9); \
	PLUS(R14, BX, R10, R11); \
	PLUS(R15, CX, R10, R11)

// FIRST is BOTH of the lowest digits, to which nothing is added.
#define FIRST(x, y) \
	MOVQ x(DI), BX; \
	MOVQ y(DI), CX; \
	TIMES(R12, BX, R8, R9); \
	PLUS(R13, CX, R8, R9); \
	TIMES(R14, BX, R10, R11); \
	PLUS(R15, CX, R10, R11)

// KEEP puts the last digits of both down, and cuts them off. SI is all ones of 62 bits.
#define KEEP(x, y, i) \
	MOVQ R8, AX; \
	ANDQ SI, AX; \
	MOVQ AX, x+8*i(DI); \
	MOVQ R10, DX; \
	ANDQ SI, DX; \
	MOVQ DX, y+8*i(DI); \
	CUT(R8, R9); \
	CUT(R10, R11)

// MODULUS adds to both the modulus's digit i, MD and ME times.
#define MODULUS(i) \
	MOVQ m+8(FP), CX; \
	MOVQ 8*i(CX), BX; \
	PLUS(MD, BX, R8, R9); \
	PLUS(ME, BX, R10, R11)

// func divideBMI(t *division, m *modulus)
TEXT ·divideBMI(SB), NOSPLIT, $24-16
	MOVQ t+0(FP), DI
	MOVQ $-1, SI     // eta

	// 62 steps. R8 and R9 are the lowest words of f and g, R12, R13, R14 and R15 are u, v, q
	// and r, and R10 is how many steps are left.
steps:
	MOVQ F(DI), R8
	MOVQ G(DI), R11
	MOVL $1, R12
	XORL R13, R13
	XORL R14, R14
	MOVL $1, R15
	MOVL $62, R10
	JMP  noughts

	// A step that finds g odd, and makes it g+f, or g-f and f what g was. Which of both no
	// processor guesses, so it is no branch.
odd:
	MOVQ    R9, AX
	SUBQ    R8, AX
	MOVQ    R14, BX
	SUBQ    R12, BX
	MOVQ    R15, CX
	SUBQ    R13, CX
	MOVQ    SI, DX
	NEGQ    DX
	TESTQ   SI, SI
	LEAQ    (R9)(R8*1), R11
	CMOVQMI R9, R8
	CMOVQMI AX, R11
	LEAQ    (R14)(R12*1), AX
	CMOVQMI R14, R12
	CMOVQMI BX, AX
	MOVQ    AX, R14
	LEAQ    (R15)(R13*1), BX
	CMOVQMI R15, R13
	CMOVQMI CX, BX
	MOVQ    BX, R15
	CMOVQMI DX, SI

	// The steps that find R11, the new g, even.
noughts:
	TZCNTQ R11, CX
	SUBQ   CX, R10
	JLE    taken
	SHRXQ  CX, R11, R9
	SHLXQ  CX, R12, R12
	SHLXQ  CX, R13, R13
	SUBQ   CX, SI
	JMP    odd

taken:
	ADDQ  R10, CX
	SHLXQ CX, R12, R12
	SHLXQ CX, R13, R13
	SUBQ  CX, SI
	MOVQ  SI, ETA
	MOVQ  $0x3fffffffffffffff, SI

	// steps.applyModulo
	MOVQ  D+32(DI), AX
	SARQ  $63, AX
	MOVQ  E+32(DI), CX
	SARQ  $63, CX
	MOVQ  R12, BX
	ANDQ  AX, BX
	MOVQ  R13, DX
	ANDQ  CX, DX
	ADDQ  DX, BX
	MOVQ  BX, MD
	ANDQ  R14, AX
	ANDQ  R15, CX
	ADDQ  CX, AX
	MOVQ  AX, ME
	FIRST(D, E)
	MOVQ  m+8(FP), CX
	MOVQ  INVERSE(CX), AX
	IMULQ R8, AX
	ADDQ  MD, AX
	ANDQ  SI, AX
	SUBQ  AX, MD
	MOVQ  INVERSE(CX), AX
	IMULQ R10, AX
	ADDQ  ME, AX
	ANDQ  SI, AX
	SUBQ  AX, ME
	MODULUS(0)
	CUT(R8, R9)
	CUT(R10, R11)
	BOTH(D, E, 1)
	MODULUS(1)
	KEEP(D, E, 0)
	BOTH(D, E, 2)
	MODULUS(2)
	KEEP(D, E, 1)
	BOTH(D, E, 3)
	MODULUS(3)
	KEEP(D, E, 2)
	BOTH(D, E, 4)
	MODULUS(4)
	KEEP(D, E, 3)
	MOVQ  R8, D+32(DI)
	MOVQ  R10, E+32(DI)

	// steps.apply
	FIRST(F, G)
	CUT(R8, R9)
	CUT(R10, R11)
	BOTH(F, G, 1)
	KEEP(F, G, 0)
	BOTH(F, G, 2)
	KEEP(F, G, 1)
	BOTH(F, G, 3)
	KEEP(F, G, 2)
	BOTH(F, G, 4)
	KEEP(F, G, 3)
	MOVQ  R8, F+32(DI)
	MOVQ  R10, G+32(DI)
	ORQ   G+0(DI), R10
	ORQ   G+8(DI), R10
	ORQ   G+16(DI), R10
	ORQ   G+24(DI), R10
	MOVQ  ETA, SI
	JNZ   steps
	RET
