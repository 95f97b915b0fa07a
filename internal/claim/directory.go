package claim

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
)

// openDirectory opens a directory as a store. Directories below it get mode 0700,
// files 0600.
func openDirectory(_ context.Context, p place) (backend, error) {
	create := false
	if v := p.take("create_dir"); v != "" {
		var err error
		if create, err = strconv.ParseBool(v); err != nil {
			return backend{}, errors.New(`option "create_dir" is neither true nor false`)
		}
	}
	bucket, err := fileblob.OpenBucket(p.dir, &fileblob.Options{
		CreateDir:   create,
		DirFileMode: 0o700,
		NoTempDir:   true, // a rename has to stay within one file system
	})
	if err != nil {
		return backend{}, classify("open directory", err)
	}
	d := directory{root: p.dir, bucket: bucket}
	return backend{bucket: bucket, upload: d.upload, present: d.present}, nil
}

type directory struct {
	root   string
	bucket *blob.Bucket
}

func (d directory) present() error {
	_, err := os.Stat(d.root)
	return err
}

// upload writes a temporary file and renames it. fileblob's if-not-exists holds
// within one process; two of them write the same bytes to the same name.
func (d directory) upload(ctx context.Context, u upload, create bool) error {
	if err := d.present(); err != nil {
		return err // else fileblob would make the directory, maybe where a disk is not mounted
	}
	// fileblob renames what it has on Close, also after a failed Write, unless its
	// context has ended.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var f *os.File
	w, err := d.bucket.NewWriter(ctx, u.key, &blob.WriterOptions{
		ContentType: u.mediaType, Metadata: u.metadata, IfNotExist: create,
		BeforeWrite: func(as func(any) bool) error {
			if !as(&f) {
				return errors.New("no file behind the writer")
			}
			return f.Chmod(0o600)
		},
	})
	if err != nil {
		return err
	}
	if _, err = io.Copy(w, u.content); err == nil {
		err = f.Sync()
	}
	if err != nil {
		cancel()
		return errors.Join(err, ignoreCancelled(w.Close()))
	}
	if err := w.Close(); err != nil {
		return err
	}
	return d.syncDirs(filepath.Join(d.root, filepath.FromSlash(u.key)))
}

// ignoreCancelled drops what Close says of a write that was given up.
func ignoreCancelled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// syncDirs makes a new file's name last, and those of the directories above it.
func (d directory) syncDirs(file string) error {
	for dir := filepath.Dir(file); len(dir) >= len(d.root); dir = filepath.Dir(dir) {
		f, err := os.Open(dir) //nolint:gosec // a directory of the store
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}
