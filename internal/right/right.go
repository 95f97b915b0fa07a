// Package right names the right that a user lacks in Kafka.
//
// A broker says only that the user may not have this topic, or this group. Which
// operation was asked for knows whoever asked; so the error is completed there.
package right

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Resource is a kind of what ACLs are about.
type Resource string

// The kinds of resources, as messages name them.
const (
	Topic           Resource = "topic"
	Group           Resource = "group"
	TransactionalID Resource = "transactional id"
	Cluster         Resource = "cluster"
)

// Operations of ACLs.
const (
	Read            = "Read"
	Write           = "Write"
	Create          = "Create"
	Describe        = "Describe"
	DescribeConfigs = "DescribeConfigs"
)

// Right lets a user do something with a resource.
type Right struct {
	Operation string
	Resource  Resource
	Name      string // "" for the cluster
}

// String is e.g. "Write on topic postident.inbox".
func (r Right) String() string {
	if r.Name == "" {
		return r.Operation + " on the " + string(r.Resource)
	}
	return r.Operation + " on " + string(r.Resource) + " " + r.Name
}

// OnTopic is a right on a topic.
func OnTopic(operation, name string) Right { return Right{operation, Topic, name} }

// OnGroup is a right on a consumer group.
func OnGroup(operation, name string) Right { return Right{operation, Group, name} }

// OnTransactionalID is a right on a transactional id.
func OnTransactionalID(operation, name string) Right {
	return Right{operation, TransactionalID, name}
}

// MissingError says which right is missing.
type MissingError struct {
	Right Right
	Err   error // the broker's answer
}

func (e *MissingError) Error() string { return "needs " + e.Right.String() + ": " + e.Err.Error() }
func (e *MissingError) Unwrap() error { return e.Err }

// Missing is err, completed by the right that is missing if err is a broker's
// refusal: the first of needed that it can be about. Nil, any other error, and one
// that names its right already are returned as they are.
func Missing(err error, needed ...Right) error {
	if err == nil {
		return nil
	}
	if named := (*MissingError)(nil); errors.As(err, &named) {
		return err
	}
	for _, r := range needed {
		if r.refused(err) {
			return &MissingError{Right: r, Err: err}
		}
	}
	return err
}

// refused says whether the error is what a broker answers for lack of the right.
func (r Right) refused(err error) bool {
	switch r.Resource {
	case Topic:
		// Whoever may write to no topic at all gets no producer id, and hears of the
		// cluster: InitProducerId asks for IdempotentWrite there, or Write on a topic.
		return errors.Is(err, kerr.TopicAuthorizationFailed) ||
			r.Operation == Write && errors.Is(err, kerr.ClusterAuthorizationFailed)
	case Group:
		return errors.Is(err, kerr.GroupAuthorizationFailed)
	case TransactionalID:
		return errors.Is(err, kerr.TransactionalIDAuthorizationFailed)
	case Cluster:
		return errors.Is(err, kerr.ClusterAuthorizationFailed)
	default:
		return false
	}
}
