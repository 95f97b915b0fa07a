// Package membership asks a consumer group whether a process still belongs to it.
//
// A client that slept, or was cut off, does not know that its place has been
// taken: it would go on until its next heartbeat tells it so. Whoever must not
// begin something as a former member asks before.
package membership

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/internal/right"
)

// Confirm returns nil if the group answers that the client is its member in the
// present generation, by a heartbeat of its own. While the group rebalances it
// is one still: if it loses a partition, its callbacks say so. InstanceID is
// that of a static member (KIP-345), "" for none. The answer is as old as it was
// under way: what must not be done by two needs a fence besides.
func Confirm(ctx context.Context, client *kgo.Client, group, instanceID string) error {
	member, generation := client.GroupMetadata()
	if generation < 0 {
		return errors.New("not a member of the group")
	}
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group = group
	req.MemberID, req.Generation = member, generation
	if instanceID != "" {
		req.InstanceID = &instanceID
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("ask group: %w", right.Missing(err, right.OnGroup(right.Read, group)))
	}
	err = kerr.ErrorForCode(resp.ErrorCode)
	if err != nil && !errors.Is(err, kerr.RebalanceInProgress) {
		return fmt.Errorf("ask group: %w", right.Missing(err, right.OnGroup(right.Read, group)))
	}
	return nil
}
