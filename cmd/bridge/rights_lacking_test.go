package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"postident-bridge/internal/right"
)

func TestLackingOf(t *testing.T) {
	t.Parallel()
	chosen, err := chooseDuties([]string{rolePoll})
	if err != nil {
		t.Fatal(err)
	}
	needed := aclsOf(chosen, "p.", false)
	const inbox, cursor = "p.inbox", "p.poll-cursor"
	for name, tt := range map[string]struct {
		inbox, cursor kadm.TopicDetail
		want          []right.Right
	}{
		"has all": {
			kadm.TopicDetail{AuthorizedOperations: []kadm.ACLOperation{kadm.OpDescribe, kadm.OpWrite}},
			kadm.TopicDetail{AuthorizedOperations: []kadm.ACLOperation{kadm.OpRead, kadm.OpWrite, kadm.OpDescribe, kadm.OpDelete}},
			nil,
		},
		"has others": {
			kadm.TopicDetail{AuthorizedOperations: []kadm.ACLOperation{kadm.OpDescribe}},
			kadm.TopicDetail{AuthorizedOperations: []kadm.ACLOperation{kadm.OpWrite, kadm.OpDescribe}},
			[]right.Right{right.OnTopic(right.Write, inbox), right.OnTopic(right.Read, cursor)},
		},
		"may not see": {
			kadm.TopicDetail{Err: kerr.TopicAuthorizationFailed},
			kadm.TopicDetail{Err: kerr.TopicAuthorizationFailed},
			[]right.Right{right.OnTopic(right.Write, inbox), right.OnTopic(right.Read, cursor), right.OnTopic(right.Write, cursor)},
		},
		"is not told, or there is no topic": {kadm.TopicDetail{}, kadm.TopicDetail{Err: kerr.UnknownTopicOrPartition}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.inbox.Topic, tt.cursor.Topic = inbox, cursor
			if diff := cmp.Diff(tt.want, lackingOf(needed, []kadm.TopicDetail{tt.inbox, tt.cursor})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
