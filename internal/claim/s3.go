package claim

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	gcaws "gocloud.dev/aws"
	"gocloud.dev/blob/s3blob"
)

// defaultRegion is what servers other than Amazon's take for a region.
const defaultRegion = "us-east-1"

func openS3(ctx context.Context, p place) (backend, error) {
	endpoint := p.options.Get("endpoint")
	if endpoint != "" && !isEndpoint(endpoint) {
		return backend{}, errors.New(`option "endpoint" is no URL such as https://host:port`)
	}
	b := s3Bucket{name: p.bucket, encryption: types.ServerSideEncryption(p.take("ssetype")), kmsKey: p.take("kmskeyid")}
	pathStyle, err := p.takeBool("use_path_style", endpoint != "")
	if err != nil {
		return backend{}, err
	}
	accelerate, err := p.takeBool("accelerate", false)
	if err != nil {
		return backend{}, err
	}
	cfg, err := gcaws.V2ConfigFromURLParams(ctx, p.options)
	if err != nil {
		return backend{}, err
	}
	if cfg.Region == "" {
		if endpoint == "" {
			return backend{}, errors.New("no region: give the option region, or AWS_REGION in the environment")
		}
		cfg.Region = defaultRegion
	}
	if buildable, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
		// Frozen, its connections can be closed.
		cfg.HTTPClient = buildable.Freeze()
	}
	b.checksums = cfg.RequestChecksumCalculation != aws.RequestChecksumCalculationWhenRequired
	b.client = s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle, o.UseAccelerate = pathStyle, accelerate
		// What is read is compared with the digest in its reference; the store's own
		// checksum would make an error of a wrong object.
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
	bucket, err := s3blob.OpenBucket(ctx, b.client, p.bucket, &s3blob.Options{
		EncryptionType: b.encryption, KMSEncryptionID: b.kmsKey, RequestChecksumCalculation: cfg.RequestChecksumCalculation,
	})
	if err != nil {
		return backend{}, err
	}
	closeIdle := func() {
		if c, ok := cfg.HTTPClient.(*http.Client); ok {
			c.CloseIdleConnections()
		}
	}
	return backend{bucket: bucket, upload: b.upload, close: closeIdle}, nil
}

// isEndpoint reports whether s is scheme, host and port only. What else a URL can
// hold might be a secret.
func isEndpoint(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil &&
		u.RawQuery == "" && u.Fragment == "" && strings.Trim(u.Path, "/") == ""
}

func (p place) takeBool(name string, otherwise bool) (bool, error) {
	v := p.take(name)
	if v == "" {
		return otherwise, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, errors.New("option " + strconv.Quote(name) + " is neither true nor false")
	}
	return b, nil
}

type s3Bucket struct {
	client     *s3.Client
	name       string
	encryption types.ServerSideEncryption
	kmsKey     string
	checksums  bool // the server knows x-amz-checksum-…
}

// upload is one PutObject, whose body is read from the content as it goes out: no
// part of an upload stays behind that someone would have to clear away. One
// PutObject takes up to 5 GiB. The digest goes along as the request's checksum, so
// that S3 refuses content that is not what its name says, and stands for the
// payload's hash in the signature, which would cost one more reading.
func (b s3Bucket) upload(ctx context.Context, u upload, create bool) error {
	in := &s3.PutObjectInput{
		Bucket: &b.name, Key: &u.key, Body: u.content, ContentLength: &u.content.size,
		ContentType: &u.mediaType, Metadata: u.metadata, ServerSideEncryption: b.encryption,
	}
	if b.kmsKey != "" {
		in.SSEKMSKeyId = &b.kmsKey
	}
	if create {
		in.IfNoneMatch = aws.String("*")
	}
	var options []func(*s3.Options)
	if b.checksums {
		in.ChecksumSHA256 = aws.String(base64.StdEncoding.EncodeToString(u.content.digest[:]))
		options = append(options, s3.WithAPIOptions(v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	u.content.stop = cancel // else the SDK would try again what cannot be read
	_, err := b.client.PutObject(ctx, in, options...)
	return err
}
