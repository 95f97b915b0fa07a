package claim

import (
	"context"
	"errors"
	"io"
	"net/url"

	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
)

// azureBlock is how much of an object is on its way to Azure at a time; the SDK
// holds two of them at most.
const azureBlock = 4 << 20

func openAzure(ctx context.Context, p place) (backend, error) {
	if err := p.only("storage_account", "domain", "protocol", "cdn", "localemu"); err != nil {
		return backend{}, err
	}
	opener := azureblob.URLOpener{
		MakeClient:        azureblob.NewDefaultClient,
		ServiceURLOptions: *azureblob.NewDefaultServiceURLOptions(),
	}
	bucket, err := opener.OpenBucketURL(ctx, &url.URL{Scheme: schemeAzure, Host: p.bucket, RawQuery: p.options.Encode()})
	if err != nil {
		// The URL of the service may hold a signature, and errors below quote it.
		if _, quotes := errors.AsType[*url.Error](err); quotes {
			return backend{}, errors.New("the URL of the Azure service cannot be read")
		}
		return backend{}, err
	}
	upload := func(ctx context.Context, u upload, create bool) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		w, err := bucket.NewWriter(ctx, u.key, &blob.WriterOptions{
			ContentType: u.mediaType, Metadata: u.metadata, IfNotExist: create,
			BufferSize: azureBlock, MaxConcurrency: 1,
		})
		if err != nil {
			return err
		}
		if _, err := io.Copy(w, u.content); err != nil {
			cancel() // the blocks that are there are not committed, and Azure drops them after a week
			return errors.Join(err, ignoreCancelled(w.Close()))
		}
		return w.Close()
	}
	return backend{bucket: bucket, upload: upload}, nil
}
