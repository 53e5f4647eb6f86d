package envtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"

	"barnabas/broker/env"
)

// FSCase is one behaviour of env.FS and env.File.
type FSCase struct {
	Name string
	// Run checks it below dir, an empty directory that exists.
	Run func(fsys env.FS, dir string) error
}

// FS lists the cases.
func FS() []FSCase {
	return []FSCase{
		{"OpenModes", openModes},
		{"MissingPathsAreErrNotExist", missingPaths},
		{"DirectoriesDoNotOpenAsFiles", directoriesDoNotOpen},
		{"ReadAtFillsOrSaysEOF", readAtEOF},
		{"WriteBehindTheEndLeavesZeros", writeBehindEnd},
		{"WritesOverlap", writesOverlap},
		{"LargeFileKeepsItsBytes", largeFile},
		{"TruncateCutsAndExtendsWithZeros", truncate},
		{"ReadOnlyHandlesDoNotWrite", readOnly},
		{"ClosedHandlesAreErrClosed", closedHandles},
		{"RemovedFilesStayReadableWhileOpen", removedStaysReadable},
		{"RenameReplacesFiles", renameReplaces},
		{"RenameMovesDirectories", renameDirectories},
		{"RenameOntoDirectoryIsErrExist", renameOntoDirectory},
		{"RemoveTakesOnlyEmptyDirectories", removeDirectories},
		{"MkdirAllMakesParentsAndForgivesExisting", mkdirAll},
		{"ReadDirIsSorted", readDirSorted},
		{"StatDescribes", stat},
		{"SyncAndSyncDirSucceed", syncs},
		{"ReplaceFileIsWhole", replaceFile},
		{"HandlesShareTheFile", handlesShare},
		{"BadArgumentsAreErrors", badArguments},
		{"LockHasOneHolder", lockHasOneHolder},
	}
}

// fail makes an error of the format unless ok.
func fail(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// is checks that err is target.
func is(what string, err, target error) error {
	return fail(errors.Is(err, target), "%s: got error %v, want %v", what, err, target)
}

// first is the first error of a row of checks.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// put makes a file with the content.
func put(fsys env.FS, name, content string) error {
	f, err := fsys.Open(name, env.CreateNew)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(content), 0)
	return first(err, f.Close())
}

// holds checks a file's whole content through a new handle.
func holds(fsys env.FS, name, want string) error {
	got, err := env.ReadFile(fsys, name, 1<<30)
	if err != nil {
		return err
	}
	return fail(string(got) == want, "%s holds %q, want %q", name, got, want)
}

// readsAs checks a handle's content from its beginning.
func readsAs(f env.File, want string) error {
	size, err := f.Size()
	if err != nil {
		return err
	}
	got := make([]byte, size)
	if n, err := f.ReadAt(got, 0); err != nil || n != len(got) {
		return fmt.Errorf("read %d of %d bytes: %v", n, size, err)
	}
	return fail(string(got) == want, "reads %q, want %q", got, want)
}

func openModes(fsys env.FS, dir string) error {
	name := path.Join(dir, "a")
	_, errRO := fsys.Open(name, env.ReadOnly)
	_, errRW := fsys.Open(name, env.ReadWrite)
	if err := first(is("ReadOnly", errRO, env.ErrNotExist), is("ReadWrite", errRW, env.ErrNotExist)); err != nil {
		return err
	}
	f, err := fsys.Open(name, env.Create)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte("kept"), 0)
	if err = first(err, f.Close()); err != nil {
		return err
	}
	_, err = fsys.Open(name, env.CreateNew)
	if err = is("CreateNew", err, env.ErrExist); err != nil {
		return err
	}
	f, err = fsys.Open(name, env.Create)
	if err != nil {
		return err
	}
	return first(readsAs(f, "kept"), fail(f.Name() == name, "Name is %q, want %q", f.Name(), name), f.Close())
}

func missingPaths(fsys env.FS, dir string) error {
	gone := path.Join(dir, "no", "such")
	_, errOpen := fsys.Open(gone, env.Create)
	_, errDir := fsys.ReadDir(gone)
	_, errStat := fsys.Stat(gone)
	return first(
		is("Open", errOpen, env.ErrNotExist), is("ReadDir", errDir, env.ErrNotExist), is("Stat", errStat, env.ErrNotExist),
		is("Remove", fsys.Remove(gone), env.ErrNotExist), is("Rename", fsys.Rename(gone, dir+"/x"), env.ErrNotExist),
		is("SyncDir", fsys.SyncDir(gone), env.ErrNotExist),
		put(fsys, dir+"/y", ""), is("Rename to", fsys.Rename(dir+"/y", gone), env.ErrNotExist),
		env.RemoveAll(fsys, gone),
	)
}

func directoriesDoNotOpen(fsys env.FS, dir string) error {
	for mode := env.ReadOnly; mode <= env.CreateNew; mode++ {
		if _, err := fsys.Open(dir, mode); err == nil {
			return fmt.Errorf("a directory opened in mode %d", mode)
		}
	}
	err := put(fsys, dir+"/file", "x")
	_, errBelow := fsys.Open(dir+"/file/below", env.Create)
	_, errList := fsys.ReadDir(dir + "/file")
	return first(err, fail(errBelow != nil, "a file opened below a file"), fail(errList != nil, "ReadDir of a file"),
		fail(fsys.MkdirAll(dir+"/file/below") != nil, "MkdirAll below a file"))
}

func readAtEOF(fsys env.FS, dir string) error {
	if err := put(fsys, dir+"/a", "0123456789"); err != nil {
		return err
	}
	f, err := fsys.Open(dir+"/a", env.ReadOnly)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, c := range []struct {
		off  int64
		size int
		want string
		err  error
	}{{0, 10, "0123456789", nil}, {3, 4, "3456", nil}, {8, 5, "89", io.EOF}, {10, 1, "", io.EOF}, {99, 1, "", io.EOF},
		{5, 0, "", nil}} {
		p := make([]byte, c.size)
		n, err := f.ReadAt(p, c.off)
		if string(p[:n]) != c.want || err != c.err {
			return fmt.Errorf("ReadAt(%d bytes, %d) = %q, %v; want %q, %v", c.size, c.off, p[:n], err, c.want, c.err)
		}
	}
	return nil
}

func writeBehindEnd(fsys env.FS, dir string) error {
	f, err := fsys.Open(dir+"/a", env.Create)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt([]byte("end"), 200_000)
	if err != nil {
		return err
	}
	return readsAs(f, string(make([]byte, 200_000))+"end")
}

func writesOverlap(fsys env.FS, dir string) error {
	f, err := fsys.Open(dir+"/a", env.Create)
	if err != nil {
		return err
	}
	defer f.Close()
	want := make([]byte, 300_000)
	for i := range 200 {
		p := bytes.Repeat([]byte{byte(i + 1)}, 1+(i*7919)%5000)
		off := (i * 104_729) % (len(want) - len(p))
		copy(want[off:], p)
		if n, err := f.WriteAt(p, int64(off)); n != len(p) || err != nil {
			return fmt.Errorf("WriteAt wrote %d of %d: %v", n, len(p), err)
		}
	}
	size, err := f.Size()
	if err != nil {
		return err
	}
	return readsAs(f, string(want[:size]))
}

func largeFile(fsys env.FS, dir string) error {
	f, err := fsys.Open(dir+"/a", env.Create)
	if err != nil {
		return err
	}
	defer f.Close()
	var want bytes.Buffer
	for i := range 3000 {
		p := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 1+i%400)
		if _, err := f.WriteAt(p, int64(want.Len())); err != nil {
			return err
		}
		want.Write(p)
	}
	return readsAs(f, want.String())
}

func truncate(fsys env.FS, dir string) error {
	f, err := fsys.Open(dir+"/a", env.Create)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(bytes.Repeat([]byte("x"), 150_000), 0)
	for _, size := range []int64{149_999, 70_000, 65_536, 5} {
		if err == nil {
			err = f.Truncate(size)
		}
		if err == nil {
			err = readsAs(f, string(bytes.Repeat([]byte("x"), int(size))))
		}
	}
	if err = first(err, f.Truncate(8), readsAs(f, "xxxxx\x00\x00\x00")); err != nil {
		return err
	}
	_, err = f.WriteAt([]byte("y"), 100_000)
	return first(err, readsAs(f, "xxxxx"+string(make([]byte, 99_995))+"y"), f.Truncate(0), readsAs(f, ""))
}

func readOnly(fsys env.FS, dir string) error {
	if err := put(fsys, dir+"/a", "kept"); err != nil {
		return err
	}
	f, err := fsys.Open(dir+"/a", env.ReadOnly)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte("lost"), 0)
	return first(fail(err != nil, "WriteAt on a read-only handle"), fail(f.Truncate(0) != nil, "Truncate on one"),
		f.Close(), holds(fsys, dir+"/a", "kept"))
}

func closedHandles(fsys env.FS, dir string) error {
	f, err := fsys.Open(dir+"/a", env.Create)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	_, errRead := f.ReadAt(make([]byte, 1), 0)
	_, errWrite := f.WriteAt([]byte("x"), 0)
	_, errSize := f.Size()
	return first(is("ReadAt", errRead, env.ErrClosed), is("WriteAt", errWrite, env.ErrClosed),
		is("Size", errSize, env.ErrClosed), is("Truncate", f.Truncate(0), env.ErrClosed),
		is("Sync", f.Sync(), env.ErrClosed), is("Close", f.Close(), env.ErrClosed))
}
