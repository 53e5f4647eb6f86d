package env

import (
	"errors"
	"fmt"
	"io"
	"path"
)

// ReadFile reads the whole file. A file longer than limit bytes is an error.
func ReadFile(fsys FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name, ReadOnly)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("%s: %d bytes, more than the limit of %d", name, size, limit)
	}
	data := make([]byte, size)
	if n, err := f.ReadAt(data, 0); err != nil && !(errors.Is(err, io.EOF) && n == len(data)) {
		return nil, err
	}
	return data, nil
}

// ReplaceFile puts data at name so that after a crash or a power loss at any moment either the old content or the
// new is there, whole: a temporary file, synced, renamed over name, and the directory synced.
func ReplaceFile(fsys FS, name string, data []byte) error {
	tmp := name + ".tmp"
	f, err := fsys.Open(tmp, Create)
	if err != nil {
		return err
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt(data, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := fsys.Rename(tmp, name); err != nil {
		return err
	}
	return fsys.SyncDir(path.Dir(name))
}

// RemoveAll removes name and everything below it. A name that does not exist is no error.
func RemoveAll(fsys FS, name string) error {
	info, err := fsys.Stat(name)
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir {
		entries, err := fsys.ReadDir(name)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := RemoveAll(fsys, path.Join(name, entry.Name)); err != nil {
				return err
			}
		}
	}
	return fsys.Remove(name)
}
