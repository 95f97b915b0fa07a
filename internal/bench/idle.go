package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"postident-bridge/internal/scrsim"
)

// idlePartitions are those of the inbox by default: the process owns all.
const idlePartitions = 12

// idleFigure measures the resident memory of a bridge with all roles that has
// nothing to do.
func idleFigure() Figure {
	return Figure{
		Name:  "idle",
		About: "resident memory of `bridge run` with nothing to do",
		Run:   measureIdle,
	}
}

// measureIdle takes VmRSS, which counts the pages of the binary that are in use
// as well: it is what a container's limit and an operator's top see.
func measureIdle(ctx context.Context, env *Env) (rows []Row, err error) {
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("read resident memory: not on %s", runtime.GOOS)
	}
	settle, samples := 30*time.Second, 10
	if env.Quick() {
		settle, samples = time.Second, 2
	}
	kafka, err := env.Kafka(ctx, 1)
	if err != nil {
		return nil, err
	}
	if err := env.ApplyTopics(ctx, kafka, idlePartitions); err != nil {
		return nil, err
	}
	// The API is not there: nothing is read from it.
	accounts := scrsim.ExampleAccounts("http://127.0.0.1:1")
	b, err := env.startBridge(ctx, kafka, accountVariables("http://127.0.0.1:1", accounts))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	if err := wait(ctx, settle); err != nil {
		return nil, err
	}
	var megabytes []float64
	var last map[string]int64
	for range samples {
		if last, err = memoryOf(b.cmd.Process.Pid); err != nil {
			return nil, err
		}
		megabytes = append(megabytes, float64(last["VmRSS"])/1e6)
		if err := wait(ctx, time.Second); err != nil {
			return nil, err
		}
	}
	return []Row{{
		Name: "idle resident memory, all roles", Ours: median(megabytes), Unit: "MB", Bar: Bar{AtMost: 40},
		Note: fmt.Sprintf("VmRSS %v after ready, %d partitions, %d accounts; %.1f to %.1f MB in %d s; at the end %.1f MB anonymous, %.1f MB of files (the binary), peak %.1f MB",
			settle, idlePartitions, len(accounts), slices.Min(megabytes), slices.Max(megabytes), samples,
			float64(last["RssAnon"])/1e6, float64(last["RssFile"])/1e6, float64(last["VmHWM"])/1e6),
	}}, nil
}

// memoryOf reads a process's /proc/<pid>/status, in bytes.
func memoryOf(pid int) (map[string]int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil, fmt.Errorf("read memory: %w", err)
	}
	return parseMemory(status)
}

// parseMemory gives the fields in kB that the kernel writes, as bytes.
func parseMemory(status []byte) (map[string]int64, error) {
	memory := make(map[string]int64)
	lines := bufio.NewScanner(bytes.NewReader(status))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		number, isSize := strings.CutSuffix(strings.TrimSpace(value), " kB")
		if !isSize {
			continue
		}
		kilobytes, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read memory: %s: %w", name, err)
		}
		memory[name] = kilobytes << 10
	}
	if memory["VmRSS"] == 0 {
		return nil, errors.New("read memory: no VmRSS")
	}
	return memory, nil
}

// accountVariables are what `bridge run` needs to work against a simulator with
// these accounts.
func accountVariables(api string, accounts []scrsim.Account) []string {
	environ := []string{"BRIDGE_SCR_BASE_URL=" + api, "BRIDGE_WEBHOOK_ALLOWED_IPS=165.72.200.13,199.40.127.49,156.137.9.65,127.0.0.1"}
	for i, a := range accounts {
		prefix := fmt.Sprintf("BRIDGE_ACCOUNT_%d_", i+1)
		environ = append(environ,
			prefix+"CLIENT_ID="+a.ClientID,
			prefix+"USERNAME="+a.Credentials[0].Username,
			prefix+"PASSWORD="+a.Credentials[0].Password,
			prefix+"DATA_PASSWORD="+a.Credentials[0].DataPassword,
			prefix+"REGULATORY_CLASS="+string(a.Class),
			prefix+"WEBHOOK_USERNAME="+a.Webhook.Username,
			prefix+"WEBHOOK_PASSWORD="+a.Webhook.Password)
		if a.Credentials[0].Access == scrsim.AccessPartner {
			environ = append(environ, prefix+"ACCESS=partner")
		}
	}
	return environ
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
