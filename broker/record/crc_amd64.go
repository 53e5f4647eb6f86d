package record

import (
	"encoding/binary"
	"hash/crc32"

	"golang.org/x/sys/cpu"
)

// foldBlocks folds n blocks of 256 bytes, at least one, into the state. See crc_amd64.s.
//
//go:noescape
func foldBlocks(state *[256]byte, p *byte, n int)

// foldBlocksAVX2 is foldBlocks for processors that have the multiplication, but in half as wide registers.
//
//go:noescape
func foldBlocksAVX2(state *[256]byte, p *byte, n int)

// extendedFeatures is what CPUID says of leaf 7 in ECX.
func extendedFeatures() uint32

// The ways to sum: the instruction alone, or folding in registers of 256 or 512 bits.
const (
	foldNot = iota
	fold256
	fold512
)

// folding is the widest way that this processor has.
var folding = foldWidth()

func foldWidth() int {
	const vpclmulqdq = 1 << 10
	switch {
	case !cpu.X86.HasAVX2 || extendedFeatures()&vpclmulqdq == 0: // AVX2 says that there is a leaf 7, and that the system keeps the registers
		return foldNot
	case cpu.X86.HasAVX512F && cpu.X86.HasOSXSAVE:
		return fold512
	default:
		return fold256
	}
}

// foldBytesMin is from where on folding is the faster way: it costs the checksum of one block besides.
const foldBytesMin = 4 << 10

// folds keeps states: they are handed to a function that the compiler does not see through.
var folds pool[[256]byte]

// updateCRC is crc32.Update with Castagnoli's polynomial. Where the processor multiplies without carries in wide registers,
// 256 bytes at a time are folded into as many that have the same remainder (Gopal and others, "Fast CRC computation using
// PCLMULQDQ"); the package's own instruction takes one word a cycle at most.
func updateCRC(crc uint32, p []byte) uint32 {
	if folding == foldNot || len(p) < foldBytesMin {
		return crc32.Update(crc, castagnoli, p)
	}
	state := folds.get()
	if state == nil {
		state = new([256]byte)
	}
	defer folds.put(state)
	copy(state[:], p)
	binary.LittleEndian.PutUint32(state[:], binary.LittleEndian.Uint32(state[:])^^crc)
	p = p[256:]
	n := len(p) / 256
	if folding == fold512 {
		foldBlocks(state, &p[0], n)
	} else {
		foldBlocksAVX2(state, &p[0], n)
	}
	// What went in is in the state: it begins from nothing, which Update's inversion makes all ones.
	crc = crc32.Update(^uint32(0), castagnoli, state[:])
	return crc32.Update(crc, castagnoli, p[n*256:])
}
