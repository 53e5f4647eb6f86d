package envtest

import (
	"fmt"
	"strings"

	"barnabas/broker/env"
)

func removedStaysReadable(fsys env.FS, dir string) error {
	if err := put(fsys, dir+"/a", "old"); err != nil {
		return err
	}
	f, err := fsys.Open(dir+"/a", env.ReadWrite)
	if err != nil {
		return err
	}
	if err := first(fsys.Remove(dir+"/a"), put(fsys, dir+"/a", "new")); err != nil {
		return err
	}
	_, err = f.WriteAt([]byte("er"), 3)
	return first(err, readsAs(f, "older"), f.Sync(), holds(fsys, dir+"/a", "new"), f.Close())
}

func renameReplaces(fsys env.FS, dir string) error {
	if err := first(put(fsys, dir+"/a", "from"), put(fsys, dir+"/b", "to")); err != nil {
		return err
	}
	old, err := fsys.Open(dir+"/b", env.ReadOnly)
	if err != nil {
		return err
	}
	defer old.Close()
	err = first(fsys.Rename(dir+"/a", dir+"/b"), holds(fsys, dir+"/b", "from"), readsAs(old, "to"))
	_, gone := fsys.Stat(dir + "/a")
	return first(err, is("Stat of the old name", gone, env.ErrNotExist),
		fsys.Rename(dir+"/b", dir+"/b"), holds(fsys, dir+"/b", "from"))
}

func renameDirectories(fsys env.FS, dir string) error {
	err := first(fsys.MkdirAll(dir+"/t-0"), fsys.MkdirAll(dir+"/other"), put(fsys, dir+"/t-0/log", "records"))
	if err != nil {
		return err
	}
	f, err := fsys.Open(dir+"/t-0/log", env.ReadOnly)
	if err != nil {
		return err
	}
	defer f.Close()
	return first(fsys.Rename(dir+"/t-0", dir+"/other/t-0.delete"), readsAs(f, "records"),
		holds(fsys, dir+"/other/t-0.delete/log", "records"),
		fail(fsys.Rename(dir+"/other", dir+"/other/below") != nil, "a directory moved below itself"),
		put(fsys, dir+"/file", ""),
		fail(fsys.Rename(dir+"/other", dir+"/file") != nil, "a directory replaced a file"))
}

func renameOntoDirectory(fsys env.FS, dir string) error {
	return first(fsys.MkdirAll(dir+"/a"), fsys.MkdirAll(dir+"/b"), put(fsys, dir+"/f", ""),
		is("directory onto directory", fsys.Rename(dir+"/a", dir+"/b"), env.ErrExist),
		is("file onto directory", fsys.Rename(dir+"/f", dir+"/b"), env.ErrExist))
}

func removeDirectories(fsys env.FS, dir string) error {
	return first(fsys.MkdirAll(dir+"/a/b"), put(fsys, dir+"/a/b/c", "x"),
		is("Remove", fsys.Remove(dir+"/a/b"), env.ErrExist),
		fsys.Remove(dir+"/a/b/c"), fsys.Remove(dir+"/a/b"),
		is("again", fsys.Remove(dir+"/a/b"), env.ErrNotExist),
		fsys.MkdirAll(dir+"/a/d/e"), put(fsys, dir+"/a/d/f", "x"), env.RemoveAll(fsys, dir+"/a"),
		names(fsys, dir, ""))
}

func mkdirAll(fsys env.FS, dir string) error {
	return first(fsys.MkdirAll(dir+"/a/b/c"), put(fsys, dir+"/a/b/c/f", "x"), fsys.MkdirAll(dir+"/a/b/c"),
		fsys.MkdirAll(dir+"//a/./b/../d/"), names(fsys, dir+"/a", "b/ d/"), holds(fsys, dir+"/a/b/c/f", "x"))
}

func readDirSorted(fsys env.FS, dir string) error {
	for _, name := range []string{"b", "a.log", "a", "B", "0001", "z"} {
		if err := put(fsys, dir+"/"+name, ""); err != nil {
			return err
		}
	}
	return first(fsys.MkdirAll(dir+"/m"), fsys.Rename(dir+"/z", dir+"/c"), fsys.Remove(dir+"/b"),
		names(fsys, dir, "0001 B a a.log c m/"))
}

// names checks a listing; directories end in a slash.
func names(fsys env.FS, dir, want string) error {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return err
	}
	var got []string
	for _, entry := range entries {
		if entry.IsDir {
			entry.Name += "/"
		}
		got = append(got, entry.Name)
	}
	return fail(strings.Join(got, " ") == want, "%s holds %q, want %q", dir, strings.Join(got, " "), want)
}

func stat(fsys env.FS, dir string) error {
	if err := put(fsys, dir+"/a", "12345"); err != nil {
		return err
	}
	file, errFile := fsys.Stat(dir + "/a")
	folder, errFolder := fsys.Stat(dir)
	return first(errFile, errFolder, fail(file.Size == 5 && !file.IsDir, "file: %+v", file),
		fail(folder.IsDir, "directory: %+v", folder), fail(!file.ModTime.IsZero(), "no modification time"))
}

func syncs(fsys env.FS, dir string) error {
	f, err := fsys.Open(dir+"/a", env.CreateNew)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte("x"), 0)
	err = first(err, f.Sync(), f.Sync(), fsys.SyncDir(dir), fsys.SyncDir(dir), f.Close(), holds(fsys, dir+"/a", "x"))
	return first(err, fail(fsys.SyncDir(dir+"/a") != nil, "SyncDir of a file"))
}

func replaceFile(fsys env.FS, dir string) error {
	name := dir + "/checkpoint"
	return first(env.ReplaceFile(fsys, name, []byte("a longer first version")), env.ReplaceFile(fsys, name, []byte("second")),
		holds(fsys, name, "second"), names(fsys, dir, "checkpoint"))
}

func handlesShare(fsys env.FS, dir string) error {
	w, err := fsys.Open(dir+"/a", env.Create)
	if err != nil {
		return err
	}
	defer w.Close()
	r, err := fsys.Open(dir+"/a", env.ReadOnly)
	if err != nil {
		return err
	}
	for i := range 10 {
		if _, err := fmt.Fprintf(writerAt{w, int64(i)}, "%d", i); err != nil {
			return err
		}
	}
	return first(readsAs(r, "0123456789"), r.Close(), readsAs(w, "0123456789"))
}

// writerAt is a writer to one offset.
type writerAt struct {
	f   env.File
	off int64
}

func (w writerAt) Write(p []byte) (int, error) { return w.f.WriteAt(p, w.off) }

func badArguments(fsys env.FS, dir string) error {
	f, err := fsys.Open(dir+"/a", env.Create)
	if err != nil {
		return err
	}
	defer f.Close()
	_, errRead := f.ReadAt(make([]byte, 1), -1)
	_, errWrite := f.WriteAt([]byte("x"), -1)
	return first(fail(errRead != nil, "ReadAt(-1)"), fail(errWrite != nil, "WriteAt(-1)"),
		fail(f.Truncate(-1) != nil, "Truncate(-1)"), readsAs(f, ""))
}

func lockHasOneHolder(fsys env.FS, dir string) error {
	one, other := dir+"/one", dir+"/other"
	if err := first(fsys.MkdirAll(one), fsys.MkdirAll(other)); err != nil {
		return err
	}
	held, err := fsys.Lock(one)
	if err != nil {
		return err
	}
	_, errAgain := fsys.Lock(one)
	_, errByAnotherName := fsys.Lock(dir + "/other/../one")
	_, errMissing := fsys.Lock(dir + "/missing")
	err = first(is("locked again", errAgain, env.ErrLocked), is("locked by another name", errByAnotherName, env.ErrLocked),
		is("no such directory", errMissing, env.ErrNotExist))
	if err != nil {
		return err
	}
	beside, err := fsys.Lock(other)
	if err != nil {
		return err
	}
	if err := first(held.Close(), beside.Close()); err != nil {
		return err
	}
	if held, err = fsys.Lock(one); err != nil {
		return fmt.Errorf("after its release: %w", err)
	}
	return held.Close()
}
