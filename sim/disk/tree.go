package disk

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
)

// opsMax bounds the unsynced directory operations: behind it the older half counts as committed by the journal.
const opsMax = 8192

var (
	errNotDirectory = errors.New("not a directory")
	errIsDirectory  = errors.New("is a directory")
	errInvalid      = errors.New("invalid argument")
	errReadOnly     = errors.New("bad file descriptor: opened read-only")
	errNotEmpty     = &kindError{"directory not empty", fs.ErrExist}
)

// kindError is an error with words of its own that errors.Is takes for another.
type kindError struct {
	text string
	kind error
}

func (e *kindError) Error() string { return e.text }
func (e *kindError) Unwrap() error { return e.kind }

// directory holds the entries of the cached state, sorted by name.
type directory struct {
	names  []string
	inodes []*inode
	lost   bool // only during a power loss: this directory's later operations vanish
	edits  *int // counts the changes of all directories below one root
}

func (dir *directory) get(name string) *inode {
	if i, ok := slices.BinarySearch(dir.names, name); ok {
		return dir.inodes[i]
	}
	return nil
}

// set binds the name, or unbinds it when ino is nil.
func (dir *directory) set(name string, ino *inode) {
	*dir.edits++
	i, ok := slices.BinarySearch(dir.names, name)
	switch {
	case ok && ino != nil:
		dir.inodes[i] = ino
	case ok:
		dir.names = slices.Delete(dir.names, i, i+1)
		dir.inodes = slices.Delete(dir.inodes, i, i+1)
	case ino != nil:
		dir.names = slices.Insert(dir.names, i, name)
		dir.inodes = slices.Insert(dir.inodes, i, ino)
	}
}

// edit rebinds one name. Operations are one or two edits, all or nothing.
type edit struct {
	dir           *directory
	name          string
	before, after *inode
}

// dirOp is an unsynced directory operation.
type dirOp struct {
	seq   int64
	n     int // edits in use
	edits [2]edit
}

func (op *dirOp) apply() {
	for i := range op.n {
		op.edits[i].dir.set(op.edits[i].name, op.edits[i].after)
	}
}

func (op *dirOp) undo() {
	for i := op.n - 1; i >= 0; i-- {
		op.edits[i].dir.set(op.edits[i].name, op.edits[i].before)
	}
}

func (op *dirOp) touches(dirs []*directory) bool {
	for i := range op.n {
		if slices.Contains(dirs, op.edits[i].dir) {
			return true
		}
	}
	return false
}

// do applies an operation to the cache and logs it.
func (d *Disk) do(edits ...edit) {
	d.opSeq++
	op := dirOp{seq: d.opSeq, n: len(edits)}
	copy(op.edits[:], edits)
	op.apply()
	d.ops = append(d.ops, op)
	if len(d.ops) > opsMax {
		d.ops = slices.Delete(d.ops, 0, len(d.ops)/2)
	}
}

// pending tells whether an operation of the directory is unsynced.
func (d *Disk) pending(dir *directory) bool {
	for i := range d.ops {
		if d.ops[i].touches([]*directory{dir}) {
			return true
		}
	}
	return false
}

// commit makes the directory's operations up to mark durable, and those that they rest on: a rename from another
// directory takes that one's earlier operations with it.
func (d *Disk) commit(dir *directory, mark int64) {
	dirs := []*directory{dir}
	kept := len(d.ops)
	for i := len(d.ops) - 1; i >= 0; i-- {
		op := d.ops[i]
		if op.seq <= mark && op.touches(dirs) {
			for j := range op.n {
				dirs = append(dirs, op.edits[j].dir)
			}
			continue
		}
		kept--
		d.ops[kept] = op
	}
	d.ops = slices.Delete(d.ops, 0, kept)
}

// loseOps undoes the unsynced directory operations except those that survive; it returns how many vanished.
func (d *Disk) loseOps(keep Keep, r *rand.Rand, chosen func() bool) int {
	for i := len(d.ops) - 1; i >= 0; i-- {
		d.ops[i].undo()
	}
	prefix, oneIn16 := 0, 0 // the first prefix survive; of the others, a prefix of each directory's
	switch {
	case keep == KeepAll:
		prefix = len(d.ops)
	case keep == KeepRandom && len(d.ops) > 0:
		switch r.IntN(4) {
		case 0:
		case 1:
			prefix = len(d.ops)
		case 2:
			prefix = r.IntN(len(d.ops) + 1)
		default:
			oneIn16 = []int{8, 12, 15}[r.IntN(3)]
		}
	}
	vanished := 0
	for i := range d.ops {
		op := &d.ops[i]
		if chosen != nil && chosen() && !op.blocked() {
			op.apply()
			continue
		}
		if i < prefix || (oneIn16 > 0 && !op.blocked() && r.IntN(16) < oneIn16) {
			op.apply()
			continue
		}
		op.block()
		vanished++
	}
	for i := range d.ops {
		for j := range d.ops[i].n {
			d.ops[i].edits[j].dir.lost = false
		}
	}
	d.ops = nil
	return vanished
}

func (op *dirOp) blocked() bool { return op.edits[0].dir.lost || (op.n == 2 && op.edits[1].dir.lost) }

func (op *dirOp) block() {
	for i := range op.n {
		op.edits[i].dir.lost = true
	}
}

// lookup finds the inode at the path; ErrNotExist, or errNotDirectory when the path goes through a file.
func (d *Disk) lookup(name string) (*inode, error) {
	ino := d.root
	for rest := name; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		if part == "" || part == "." {
			continue
		}
		if ino.dir == nil {
			return nil, errNotDirectory
		}
		if ino = ino.dir.get(part); ino == nil {
			return nil, fs.ErrNotExist
		}
	}
	return ino, nil
}

// parent finds the directory that holds the path, and the path's last name.
func (d *Disk) parent(name string) (*directory, string, error) {
	name = strings.TrimRight(name, "/")
	above, last := "", name
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		above, last = name[:i], name[i+1:]
	}
	if last == "" || last == "." || last == ".." {
		return nil, "", errInvalid
	}
	ino, err := d.lookup(above)
	if err != nil {
		return nil, "", err
	}
	if ino.dir == nil {
		return nil, "", errNotDirectory
	}
	return ino.dir, last, nil
}

// walk calls f for every inode below the directory, in order of names.
func walk(dir *directory, f func(*inode)) {
	for _, ino := range dir.inodes {
		f(ino)
		if ino.dir != nil {
			walk(ino.dir, f)
		}
	}
}
