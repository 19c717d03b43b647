// Package demo shows a failover: a client writes without a pause, the master
// pod is deleted, and the client tells what it noticed.
package demo

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/redis-ha/redis-ha/tools/cluster/internal/command"
	"github.com/redis-ha/redis-ha/tools/internal/writer"
)

//go:embed pod.yaml
var podManifest string

const (
	pod = "redis-ha-demo-writer"
	// writing is how long the client writes in all, before how long it does so
	// before the master goes.
	writing = 15 * time.Second
	before  = 3 * time.Second
	// patience bounds every single wait.
	patience = 3 * time.Minute
)

// Demo works on one release.
type Demo struct {
	// Kubectl and Kubeconfig are the program and the cluster's access.
	Kubectl, Kubeconfig string
	// Namespace and Release of the installation.
	Namespace, Release string
	// WriterImage is the image of the client.
	WriterImage string
	Runner      command.Runner
}

func (d Demo) kubectl(ctx context.Context, args ...string) (string, error) {
	args = append([]string{"--kubeconfig", d.Kubeconfig, "--namespace", d.Namespace}, args...)
	return d.Runner.Output(ctx, d.Kubectl, args...)
}

// WaitReady waits until both deployments are complete and a master is named.
func (d Demo) WaitReady(ctx context.Context) error {
	limit := fmt.Sprintf("--timeout=%ds", int(patience.Seconds()))
	fullname := d.Release + "-redis-ha"
	for _, deployment := range []string{"-server", "-sentinel"} {
		if _, err := d.kubectl(ctx, "rollout", "status", "deployment/"+fullname+deployment, limit); err != nil {
			pods, _ := d.Table(ctx)
			return fmt.Errorf("wait for %s%s: %w\n%s", fullname, deployment, err, pods)
		}
	}
	_, err := d.waitMaster(ctx, "")
	return err
}

// Restart replaces all pods, for a new image under the old name.
func (d Demo) Restart(ctx context.Context) error {
	fullname := d.Release + "-redis-ha"
	_, err := d.kubectl(ctx, "rollout", "restart", "deployment/"+fullname+"-server", "deployment/"+fullname+"-sentinel")
	return err
}

// Table lists the pods with their roles, as the documents do.
func (d Demo) Table(ctx context.Context) (string, error) {
	return d.kubectl(ctx, "get", "pods", "-L", "redis-role")
}

// waitMaster waits until exactly one pod, and not the given one, is master.
func (d Demo) waitMaster(ctx context.Context, old string) (string, error) {
	deadline := time.Now().Add(patience)
	for {
		output, err := d.kubectl(ctx, "get", "pods", "-l", "release="+d.Release+",redis-role=master",
			"-o", `jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}`)
		masters := strings.Fields(output)
		if err == nil && len(masters) == 1 && masters[0] != old {
			return masters[0], nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("no single pod became master within %s: %q have the label (%w)", patience, masters, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// Run starts the client, deletes the master and returns what the client saw.
func (d Demo) Run(ctx context.Context, say func(format string, args ...any)) (writer.Report, error) {
	if _, err := d.kubectl(ctx, "delete", "pod", pod, "--ignore-not-found", "--wait"); err != nil {
		return writer.Report{}, fmt.Errorf("remove the client of an earlier run: %w", err)
	}
	defer func() {
		_, _ = d.kubectl(context.WithoutCancel(ctx), "delete", "pod", pod, "--ignore-not-found", "--wait=false")
	}()
	_, err := d.Runner.Input(ctx, strings.NewReader(d.manifest()), d.Kubectl,
		"--kubeconfig", d.Kubeconfig, "--namespace", d.Namespace, "apply", "-f", "-")
	if err != nil {
		return writer.Report{}, fmt.Errorf("start the client: %w", err)
	}
	if _, err := d.waitLog(ctx, func(log string) bool { return strings.Contains(log, "writing") }); err != nil {
		return writer.Report{}, fmt.Errorf("wait for the client's first write: %w", err)
	}
	select {
	case <-ctx.Done():
		return writer.Report{}, ctx.Err()
	case <-time.After(before):
	}
	master, err := d.waitMaster(ctx, "")
	if err != nil {
		return writer.Report{}, err
	}
	say("a client writes; deleting the master, %s", master)
	start := time.Now()
	if _, err := d.kubectl(ctx, "delete", "pod", master, "--wait=false"); err != nil {
		return writer.Report{}, fmt.Errorf("delete the master: %w", err)
	}
	successor, err := d.waitMaster(ctx, master)
	if err != nil {
		return writer.Report{}, err
	}
	say("%s has the label redis-role=master, %.1fs after", successor, time.Since(start).Seconds())
	var report writer.Report
	log, err := d.waitLog(ctx, func(log string) bool {
		report, err = parseReport(log)
		return err == nil
	})
	if err != nil {
		return writer.Report{}, fmt.Errorf("wait for the client's report: %w\n%s", err, command.Tail(log, 5))
	}
	return report, nil
}

// manifest is the client's pod.
func (d Demo) manifest() string {
	fullname := d.Release + "-redis-ha"
	return os.Expand(podManifest, func(name string) string {
		return map[string]string{
			"POD": pod, "IMAGE": d.WriterImage, "FULLNAME": fullname,
			"ADDRESS": fullname + "-master-svc." + d.Namespace + ":6379", "DURATION": writing.String(),
		}[name]
	})
}

// waitLog waits until the client's log is as wanted, or the client has failed.
func (d Demo) waitLog(ctx context.Context, wanted func(log string) bool) (string, error) {
	deadline := time.Now().Add(patience)
	for {
		log, err := d.kubectl(ctx, "logs", pod)
		if err == nil && wanted(log) {
			return log, nil
		}
		phase, _ := d.kubectl(ctx, "get", "pod", pod, "-o", "jsonpath={.status.phase}")
		switch {
		case ctx.Err() != nil:
			return log, ctx.Err()
		case phase == "Failed":
			return log, fmt.Errorf("the client failed: %s", command.Tail(log, 5))
		case time.Now().After(deadline):
			return log, fmt.Errorf("not within %s (pod phase %q)", patience, phase)
		}
		time.Sleep(300 * time.Millisecond)
	}
}

// parseReport reads the last line of the client's log.
func parseReport(log string) (writer.Report, error) {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	var report writer.Report
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &report); err != nil {
		return report, fmt.Errorf("the client's last line is no report: %w", err)
	}
	return report, nil
}
