//go:build !amd64

package record

import "hash/crc32"

const (
	foldBytesMin = 4 << 10
	foldNot      = 0
)

var folding = foldNot

// updateCRC is crc32.Update with Castagnoli's polynomial.
func updateCRC(crc uint32, p []byte) uint32 { return crc32.Update(crc, castagnoli, p) }
