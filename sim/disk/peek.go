package disk

// Peek reads up to len(p) bytes of a file from offset as the page cache has them, and returns how many there were, -1
// if there is no such file. It takes no time and is no event: for a checker that looks on between steps.
func (d *Disk) Peek(name string, p []byte, offset int64) int {
	ino, err := d.lookup(name)
	if err != nil || ino.dir != nil {
		return -1
	}
	n := min(int64(len(p)), ino.cache.size-offset)
	if n <= 0 {
		return 0
	}
	ino.cache.readAt(p[:n], offset)
	return int(n)
}
