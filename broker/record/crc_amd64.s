#include "textflag.h"

// The two constants of a fold over 256 bytes, reflected: x^(2048+63) and x^(2048-1) modulo Castagnoli's polynomial.
DATA fold<>+0(SB)/8, $0xe9a5d8be00000000
DATA fold<>+8(SB)/8, $0x1426a81500000000
GLOBL fold<>(SB), RODATA|NOPTR, $16

// func foldBlocks(state *[256]byte, p *byte, n int)
//
// Each lane of 128 bits of the state is multiplied by x^2048 and has the lane of the next 256 bytes added: what the state then
// stands for is what it and those bytes stood for, modulo the polynomial.
TEXT ·foldBlocks(SB), NOSPLIT, $0-24
	MOVQ state+0(FP), DI
	MOVQ p+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTI32X4 fold<>(SB), Z16
	VMOVDQU64 0(DI), Z0
	VMOVDQU64 64(DI), Z1
	VMOVDQU64 128(DI), Z2
	VMOVDQU64 192(DI), Z3
loop:
	VPCLMULQDQ $0x00, Z16, Z0, Z4
	VPCLMULQDQ $0x00, Z16, Z1, Z5
	VPCLMULQDQ $0x00, Z16, Z2, Z6
	VPCLMULQDQ $0x00, Z16, Z3, Z7
	VPCLMULQDQ $0x11, Z16, Z0, Z0
	VPCLMULQDQ $0x11, Z16, Z1, Z1
	VPCLMULQDQ $0x11, Z16, Z2, Z2
	VPCLMULQDQ $0x11, Z16, Z3, Z3
	VPTERNLOGQ $0x96, 0(SI), Z4, Z0
	VPTERNLOGQ $0x96, 64(SI), Z5, Z1
	VPTERNLOGQ $0x96, 128(SI), Z6, Z2
	VPTERNLOGQ $0x96, 192(SI), Z7, Z3
	ADDQ $256, SI
	DECQ CX
	JNZ loop
	VMOVDQU64 Z0, 0(DI)
	VMOVDQU64 Z1, 64(DI)
	VMOVDQU64 Z2, 128(DI)
	VMOVDQU64 Z3, 192(DI)
	VZEROUPPER
	RET
