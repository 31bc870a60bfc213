//go:build !purego

#include "textflag.h"

// LPS sets x to LPS(x): S from the table of 256 octets in Z16 to Z19; then octet
// b of every word of L as the sum of eight products of bit matrices, Z20 to Z27,
// with the words in turn; then P, the transposition Z28. a, b, c are scratch.
#define LPS(x, a, b, c) \
	VPMOVB2M x, K1; \
	VMOVDQA64 x, a; \
	VPERMI2B Z19, Z18, a; \
	VPERMI2B Z17, Z16, x; \
	VMOVDQU8 a, K1, x; \
	VALIGNQ $1, x, x, a; \
	VALIGNQ $2, x, x, b; \
	VGF2P8AFFINEQB $0, Z21, a, a; \
	VGF2P8AFFINEQB $0, Z22, b, b; \
	VGF2P8AFFINEQB $0, Z20, x, c; \
	VPTERNLOGQ $0x96, a, b, c; \
	VALIGNQ $3, x, x, a; \
	VALIGNQ $4, x, x, b; \
	VGF2P8AFFINEQB $0, Z23, a, a; \
	VGF2P8AFFINEQB $0, Z24, b, b; \
	VPTERNLOGQ $0x96, a, b, c; \
	VALIGNQ $5, x, x, a; \
	VALIGNQ $6, x, x, b; \
	VGF2P8AFFINEQB $0, Z25, a, a; \
	VGF2P8AFFINEQB $0, Z26, b, b; \
	VPTERNLOGQ $0x96, a, b, c; \
	VALIGNQ $7, x, x, a; \
	VGF2P8AFFINEQB $0, Z27, a, a; \
	VPXORQ a, c, c; \
	VPERMB c, Z28, x

// func compressVectors(h, n, m *[8]uint64, v *streebogVectors)
TEXT ·compressVectors(SB), NOSPLIT, $0-32
	MOVQ h+0(FP), AX
	MOVQ n+8(FP), BX
	MOVQ m+16(FP), CX
	MOVQ v+24(FP), DX
	VMOVDQU64 0(DX), Z16
	VMOVDQU64 64(DX), Z17
	VMOVDQU64 128(DX), Z18
	VMOVDQU64 192(DX), Z19
	VMOVDQU64 256(DX), Z20
	VMOVDQU64 320(DX), Z21
	VMOVDQU64 384(DX), Z22
	VMOVDQU64 448(DX), Z23
	VMOVDQU64 512(DX), Z24
	VMOVDQU64 576(DX), Z25
	VMOVDQU64 640(DX), Z26
	VMOVDQU64 704(DX), Z27
	VMOVDQU64 768(DX), Z28
	VMOVDQU64 (AX), Z2
	VMOVDQU64 (CX), Z3

	// Z0 is the key, Z1 the state. A round of the state and the next one of
	// the key need the same key and run side by side.
	VPXORQ (BX), Z2, Z0
	LPS(Z0, Z4, Z5, Z6)
	VMOVDQA64 Z3, Z1
	LEAQ ·streebogC(SB), SI
	MOVQ $12, DI

round:
	VPXORQ Z0, Z1, Z1
	VPXORQ (SI), Z0, Z0
	LPS(Z1, Z7, Z8, Z9)
	LPS(Z0, Z4, Z5, Z6)
	ADDQ $64, SI
	DECQ DI
	JNZ round

	VPTERNLOGQ $0x96, Z3, Z1, Z0
	VPXORQ Z2, Z0, Z0
	VMOVDQU64 Z0, (AX)
	VZEROUPPER
	RET
