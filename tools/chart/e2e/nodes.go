package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// nodes stands in for scheduler and kubelets, of which this cluster has none: a pod that the API server admitted is told
// to be ready, and one that runs to its end to have ended. No container runs.
type nodes struct {
	c *cluster
	// failing is the component whose pods end with exit code 1; none if empty.
	failing atomic.Value
	// problem is the last error of a round: of interest where a step waits for its pods in vain.
	problem atomic.Value
}

type pod struct {
	Metadata struct {
		Name              string            `json:"name"`
		Namespace         string            `json:"namespace"`
		Labels            map[string]string `json:"labels"`
		DeletionTimestamp string            `json:"deletionTimestamp"`
	} `json:"metadata"`
	Spec struct {
		RestartPolicy string      `json:"restartPolicy"`
		Containers    []container `json:"containers"`
	} `json:"spec"`
}

type container struct {
	Name  string `json:"name"`
	Image string `json:"image"`
}

// run sets the status of new pods until ctx ends.
func (n *nodes) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := n.round(ctx); err != nil && ctx.Err() == nil {
			n.problem.Store(err.Error()) // the next round tries again
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (n *nodes) round(ctx context.Context) error {
	code, body, err := n.c.call(ctx, http.MethodGet, n.c.server+"/api/v1/pods?fieldSelector=status.phase%3DPending", "", nil)
	if err != nil {
		return err
	}
	if code != http.StatusOK {
		return fmt.Errorf("list pods: %d: %s", code, body)
	}
	var list struct {
		Items []pod `json:"items"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return fmt.Errorf("read pods: %w", err)
	}
	failing, _ := n.failing.Load().(string)
	for _, p := range list.Items {
		if p.Metadata.DeletionTimestamp != "" {
			continue
		}
		fails := failing != "" && p.Metadata.Labels["app.kubernetes.io/component"] == failing
		patch, err := json.Marshal(map[string]any{"status": statusOf(p, fails, time.Now())})
		if err != nil {
			return fmt.Errorf("write status: %w", err)
		}
		url := fmt.Sprintf("%s/api/v1/namespaces/%s/pods/%s/status", n.c.server, p.Metadata.Namespace, p.Metadata.Name)
		code, body, err := n.c.call(ctx, http.MethodPatch, url, "application/strategic-merge-patch+json", patch)
		if err != nil {
			return err
		}
		if code != http.StatusOK && code != http.StatusNotFound { // gone meanwhile
			return fmt.Errorf("set status of pod %s: %d: %s", p.Metadata.Name, code, body)
		}
	}
	return nil
}

// statusOf returns what a kubelet would report of a pod that does well, or whose containers fail.
func statusOf(p pod, fails bool, now time.Time) map[string]any {
	at := now.UTC().Format(time.RFC3339)
	phase, ready := "Running", true
	state := map[string]any{"running": map[string]any{"startedAt": at}}
	if p.Spec.RestartPolicy == "Never" {
		phase, ready = "Succeeded", false
		exit, reason := 0, "Completed"
		if fails {
			phase, exit, reason = "Failed", 1, "Error"
		}
		state = map[string]any{"terminated": map[string]any{"exitCode": exit, "reason": reason, "startedAt": at, "finishedAt": at}}
	}
	var statuses []any
	for _, c := range p.Spec.Containers {
		statuses = append(statuses, map[string]any{
			"name": c.Name, "image": c.Image, "imageID": "", "restartCount": 0, "ready": ready, "started": ready, "state": state,
		})
	}
	var conditions []any
	for kind, is := range map[string]bool{"PodScheduled": true, "Initialized": true, "ContainersReady": ready, "Ready": ready} {
		status := "False"
		if is {
			status = "True"
		}
		conditions = append(conditions, map[string]any{"type": kind, "status": status, "lastTransitionTime": at})
	}
	return map[string]any{"phase": phase, "startTime": at, "conditions": conditions, "containerStatuses": statuses}
}
