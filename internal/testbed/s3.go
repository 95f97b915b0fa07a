package testbed

import (
	"context"
	"errors"
	"os"
)

const s3Script = "tools/s3"

// What an S3 server asks for.
const (
	S3AccessKey = "bridge"
	S3SecretKey = "bridge-secret"
)

// S3Options say what S3 server to start.
type S3Options struct {
	// Dir holds its data and log; "" is a temporary directory. It goes with Down,
	// and with the end of this process.
	Dir string
}

// S3 is a real S3 server, the Versity S3 Gateway over a directory. It has
// conditional writes, keeps no versions and speaks HTTP.
type S3 struct {
	// Endpoint is its URL, http://127.0.0.1:port.
	Endpoint string
	// Dir holds its log, and in data a directory for each bucket.
	Dir string
}

// StartS3 starts an S3 server without buckets and returns when it serves. The
// first start on a machine builds the server, which takes minutes; the error is a
// LackingError where there is no Go to do it.
func StartS3(ctx context.Context, o S3Options) (*S3, error) {
	dir, err := dataDir(o.Dir, "s3")
	if err != nil {
		return nil, err
	}
	s := &S3{Dir: dir}
	if s.Endpoint, err = begin(ctx, s3Script, s.env(), "up", dir); err != nil {
		return nil, errors.Join(err, s.Down(ctx))
	}
	return s, nil
}

func (s *S3) env() []string {
	return []string{owner("S3_OWNER"), "S3_ACCESS_KEY=" + S3AccessKey, "S3_SECRET_KEY=" + S3SecretKey}
}

// MakeBucket makes a bucket; it is no error if there is one.
func (s *S3) MakeBucket(ctx context.Context, name string) error {
	return signal(ctx, s3Script, "bucket", s.Dir, name)
}

// URL names a bucket with a prefix ("" for none) as BRIDGE_RECORDS_URL does.
func (s *S3) URL(bucket, prefix string) string {
	return "s3://" + bucket + "/" + prefix + "?endpoint=" + s.Endpoint
}

// Credentials are the environment entries by which the AWS SDK finds the
// credentials, and nothing else that a machine may have.
func (s *S3) Credentials() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + S3AccessKey, "AWS_SECRET_ACCESS_KEY=" + S3SecretKey, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
	}
}

// Down ends the server and removes its data.
func (s *S3) Down(ctx context.Context) error {
	return errors.Join(signal(ctx, s3Script, "down", s.Dir), os.RemoveAll(s.Dir))
}

// Pause stops the server's process where it stands (SIGSTOP).
func (s *S3) Pause(ctx context.Context) error { return signal(ctx, s3Script, "pause", s.Dir) }

// Resume lets a paused server go on (SIGCONT).
func (s *S3) Resume(ctx context.Context) error { return signal(ctx, s3Script, "resume", s.Dir) }

// Kill ends the server at once (SIGKILL). What it acknowledged is kept.
func (s *S3) Kill(ctx context.Context) error { return signal(ctx, s3Script, "kill", s.Dir) }

// Start starts a server that was killed, at the same address and with its data,
// and returns when it serves.
func (s *S3) Start(ctx context.Context) error {
	_, err := Run(context.WithoutCancel(ctx), s3Script, s.env(), "up", s.Dir)
	return err
}
