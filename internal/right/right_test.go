package right_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"postident-bridge/internal/right"
)

func TestMissingNamesTheRight(t *testing.T) {
	t.Parallel()
	inbox, group, id := right.OnTopic(right.Write, "p.inbox"), right.OnGroup(right.Read, "p.process"), right.OnTransactionalID(right.Write, "p.process-3")
	all := []right.Right{id, inbox, group}
	other := errors.New("other")
	for _, c := range []struct {
		name   string
		err    error
		needed []right.Right
		want   string // how it begins
	}{
		{"a topic", fmt.Errorf("fetch: %w", kerr.TopicAuthorizationFailed), all, "needs Write on topic p.inbox: fetch: TOPIC_AUTHORIZATION_FAILED"},
		{"no producer id", kerr.ClusterAuthorizationFailed, all, "needs Write on topic p.inbox: CLUSTER_AUTHORIZATION_FAILED"},
		{"a group", kerr.GroupAuthorizationFailed, all, "needs Read on group p.process: GROUP_"},
		{"a transactional id", kerr.TransactionalIDAuthorizationFailed, all, "needs Write on transactional id p.process-3: TRANSACTIONAL_ID_"},
		{"the cluster", kerr.ClusterAuthorizationFailed, []right.Right{
			right.OnTopic(right.Read, "p.inbox"), {Operation: right.DescribeConfigs, Resource: right.Cluster},
		}, "needs DescribeConfigs on the cluster: CLUSTER_"},
		{"another kind", kerr.GroupAuthorizationFailed, []right.Right{inbox}, "GROUP_"},
		{"named already", right.Missing(kerr.TopicAuthorizationFailed, inbox), []right.Right{right.OnTopic(right.Read, "x")}, "needs Write on topic p.inbox: TOPIC_"},
		{"no refusal", other, all, "other"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := right.Missing(c.err, c.needed...)
			if text := got.Error(); len(text) < len(c.want) || text[:len(c.want)] != c.want {
				t.Errorf("%q", text)
			}
			if !errors.Is(got, c.err) {
				t.Error("the broker's answer is lost")
			}
		})
	}
	if right.Missing(nil, all...) != nil {
		t.Error("nil has become an error")
	}
}
