package disk

// chunkSize is how much of a file one allocation holds at most. Small files take less: chunks grow by doubling.
const (
	chunkSize    = 64 << 10
	chunkMinimum = 512
)

// content is the bytes of a file. A chunk holds the bytes that were ever written to it; what lies behind its length,
// and a nil chunk, reads as zeros, so preallocated files cost nothing.
type content struct {
	chunks [][]byte
	size   int64
}

// readAt fills p from off. The range must lie within the size.
func (c *content) readAt(p []byte, off int64) {
	for len(p) > 0 {
		i, inner := int(off/chunkSize), int(off%chunkSize)
		part := p[:min(len(p), chunkSize-inner)]
		n := 0
		if i < len(c.chunks) && inner < len(c.chunks[i]) {
			n = copy(part, c.chunks[i][inner:])
		}
		clear(part[n:])
		p, off = p[len(part):], off+int64(len(part))
	}
}

// writeAt puts p at off, extending the size as needed.
func (c *content) writeAt(p []byte, off int64) {
	if len(p) == 0 {
		return
	}
	c.size = max(c.size, off+int64(len(p)))
	for int64(len(c.chunks))*chunkSize < off+int64(len(p)) {
		c.chunks = append(c.chunks, nil)
	}
	for len(p) > 0 {
		i, inner := int(off/chunkSize), int(off%chunkSize)
		n := min(len(p), chunkSize-inner)
		c.chunks[i] = extend(c.chunks[i], inner+n)
		copy(c.chunks[i][inner:], p[:n])
		p, off = p[n:], off+int64(n)
	}
}

// extend makes the chunk at least n long; new bytes are zero.
func extend(chunk []byte, n int) []byte {
	old := len(chunk)
	if n <= old {
		return chunk
	}
	if n > cap(chunk) {
		grown := make([]byte, n, min(chunkSize, max(2*cap(chunk), n, chunkMinimum)))
		copy(grown, chunk)
		return grown
	}
	chunk = chunk[:n]
	clear(chunk[old:])
	return chunk
}

// truncate sets the size.
func (c *content) truncate(size int64) {
	keep := int((size + chunkSize - 1) / chunkSize)
	if keep < len(c.chunks) {
		clear(c.chunks[keep:])
		c.chunks = c.chunks[:keep]
	}
	if inner := int(size % chunkSize); inner > 0 && keep == len(c.chunks) && len(c.chunks[keep-1]) > inner {
		c.chunks[keep-1] = c.chunks[keep-1][:inner]
	}
	c.size = size
}

// growth is how many bytes writing [off, off+n) would allocate: what it adds to the lengths of chunks.
func (c *content) growth(off, n int64) int64 {
	var grown int64
	for end := off + n; off < end; {
		i, inner := int(off/chunkSize), off%chunkSize
		part := min(end-off, chunkSize-inner)
		var have int64
		if i < len(c.chunks) {
			have = int64(len(c.chunks[i]))
		}
		grown += max(0, inner+part-have)
		off += part
	}
	return grown
}

// used is how many bytes the content takes on the device.
func (c *content) used() int64 {
	var n int64
	for _, chunk := range c.chunks {
		n += int64(len(chunk))
	}
	return n
}

// clone copies the content.
func (c *content) clone() content {
	out := content{chunks: make([][]byte, len(c.chunks)), size: c.size}
	for i, chunk := range c.chunks {
		if chunk != nil {
			out.chunks[i] = append(make([]byte, 0, len(chunk)), chunk...)
		}
	}
	return out
}

// tail copies what lies at or behind off, for a truncation that may be undone. Holes stay holes.
func (c *content) tail(off int64) content {
	first := int(off / chunkSize)
	out := content{size: c.size}
	if first >= len(c.chunks) {
		return out
	}
	out.chunks = make([][]byte, len(c.chunks)-first)
	copy(out.chunks, c.chunks[first:])
	if len(out.chunks[0]) > 0 { // the cut goes through this one, and its front stays in use
		out.chunks[0] = append([]byte(nil), out.chunks[0]...)
	}
	return out
}

// restore undoes a truncation to off with what tail returned.
func (c *content) restore(off int64, t content) {
	first := int(off / chunkSize)
	for i, chunk := range t.chunks {
		from := int64(first+i) * chunkSize
		skip := int(max(0, off-from))
		if len(chunk) > skip {
			c.writeAt(chunk[skip:], from+int64(skip))
		}
	}
	c.truncate(t.size)
}
