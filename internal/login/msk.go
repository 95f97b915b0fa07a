package login

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/aws"
)

// MSKIAM is the login of Amazon MSK by IAM. The credentials come by the SDK's
// default chain, which finds them and fetches new ones before they expire: the
// environment, a web identity (IRSA), a container's or an instance's role. The
// region is that in the broker's name, or AWS_REGION.
func MSKIAM(ctx context.Context) (sasl.Mechanism, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("read AWS settings: %w", err)
	}
	return aws.ManagedStreamingIAM(func(ctx context.Context) (aws.Auth, error) {
		found, err := cfg.Credentials.Retrieve(ctx)
		if err != nil {
			return aws.Auth{}, fmt.Errorf("get AWS credentials: %w", err)
		}
		return aws.Auth{
			AccessKey: found.AccessKeyID, SecretKey: found.SecretAccessKey, SessionToken: found.SessionToken,
			UserAgent: "postident-bridge",
		}, nil
	}), nil
}
