package main

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"

	"postident-bridge/internal/right"
)

// lackingRights asks for what the user may do with the topics (KIP-430), and gives
// the rights that it lacks. Some are needed only by the first dead letter, say, which
// is late to hear of it. Groups and transactional ids are needed at once, and tell
// by themselves.
func lackingRights(ctx context.Context, admin *kadm.Client, needed []acl) ([]right.Right, error) {
	var names []string
	for _, a := range needed {
		if a.isTopic() {
			names = append(names, a.Resource.Name)
		}
	}
	details, err := describeTopics(kadm.WithAuthorizedOps(ctx), admin, names...)
	if err != nil {
		return nil, err
	}
	return lackingOf(needed, details), nil
}

func (a acl) isTopic() bool {
	return a.Resource.Type == resourceTypes[right.Topic] && a.Resource.PatternType == "literal"
}

// lackingOf compares. Who may not describe a topic may neither read nor write it; of
// a topic that is not there, and of a broker that tells no operations, nothing is
// known.
func lackingOf(needed []acl, details []kadm.TopicDetail) []right.Right {
	operations := map[string]kadm.ACLOperation{
		right.Read: kadm.OpRead, right.Write: kadm.OpWrite, right.Create: kadm.OpCreate,
		right.Describe: kadm.OpDescribe, right.DescribeConfigs: kadm.OpDescribeConfigs,
	}
	var out []right.Right
	for _, d := range details {
		if !denied(d.Err) && (d.Err != nil || len(d.AuthorizedOperations) == 0) {
			continue
		}
		at := slices.IndexFunc(needed, func(a acl) bool { return a.isTopic() && a.Resource.Name == d.Topic })
		if at < 0 {
			continue // nobody needs it
		}
		for _, name := range needed[at].Operations {
			if !slices.Contains(d.AuthorizedOperations, operations[name]) {
				out = append(out, right.OnTopic(name, d.Topic))
			}
		}
	}
	return out
}
