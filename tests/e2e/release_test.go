package e2e

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gruntwork-io/terratest/modules/helm"
	"github.com/gruntwork-io/terratest/modules/logger"
	"github.com/gruntwork-io/terratest/modules/shell"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// release is an installation of the chart.
type release struct {
	name, namespace    string
	servers, sentinels int
	// workload is the kind of the servers' workload as kubectl knows it; empty: a Deployment.
	workload string
	// password is empty without auth; if it is the chart's own, readPassword
	// says that install is to read it.
	password     string
	readPassword bool
	// tls says that everything is encrypted with a certificate in the Secret <fullname>-tls.
	tls bool
	// notes is what helm install printed.
	notes     string
	installed bool
	// readyAfter is how long the installation took until all agreed.
	readyAfter time.Duration
	watcher    *watcher
}

// shared is the documented release, which most tests share.
var shared = release{name: "redis-ha", namespace: "kube-public", servers: 3, sentinels: 3}

// documentedRelease returns the documented release, installed and healthy. The
// first test that needs it installs it with the documented commands.
func documentedRelease(t *testing.T) *release {
	t.Helper()
	r := &shared
	if !r.installed {
		r.installAsDocumented(t)
	}
	r.use(t)
	return r
}

// use makes a test wait for the release to be healthy and, if it fails, tell
// all about it.
func (r *release) use(t *testing.T) {
	t.Helper()
	if r.watcher == nil {
		r.watcher = watch(r)
	}
	r.dumpIfFailed(t)
	eventually(t, recoveryTime, "a healthy release "+r.name+" before the test", r.healthy)
	r.waitServed(t)
}

// waitServed waits until the Services lead where the API says.
func (r *release) waitServed(t *testing.T) {
	t.Helper()
	first := r.served(t.Context())
	if first == nil {
		return
	}
	took := eventually(t, proxyTime, "the Services of release "+r.name+" to lead to its pods", r.served)
	t.Logf("the Services of release %s lead to its pods %.1f s after the API says so; before: %v", r.name, took.Seconds(), first)
}

func (r *release) installAsDocumented(t *testing.T) {
	t.Helper()
	found := r.exists(t)
	bash(t, "helm repo add stable "+env.charts)
	if found && *reuse {
		t.Log("taking the release that is there")
		r.installed = true
		return
	}
	if found {
		bash(t, "helm uninstall redis-ha --namespace kube-public --wait --timeout 3m")
	}
	eventually(t, removalTime, "an earlier release to be gone", r.gone)
	r.watcher = watch(r)
	r.dumpIfFailed(t)
	start := time.Now()
	r.notes = bash(t, "helm install redis-ha stable/redis-ha --namespace kube-public"+r.kindOfWorkload())
	r.installed = true
	eventually(t, installTime, "1 master, 2 slaves and 3 sentinels after helm install", r.healthy)
	r.readyAfter = time.Since(start)
	t.Logf("ready %.1f s after helm install", r.readyAfter.Seconds())
}

// kindOfWorkload is the argument of helm install for the kind that the flag names. The documented command has none.
func (r *release) kindOfWorkload() string {
	if *workload == "Deployment" {
		return ""
	}
	r.workload = strings.ToLower(*workload)
	return " --set servers.workload=" + *workload
}

// exists says whether Helm knows a release of the name.
func (r *release) exists(t *testing.T) bool {
	t.Helper()
	output, err := helm.RunHelmCommandAndGetStdOutContextE(t, t.Context(), quietHelm(), "list", "--all", "--short",
		"--namespace", r.namespace, "--filter", "^"+regexp.QuoteMeta(r.name)+"$")
	require.NoError(t, err)
	return strings.TrimSpace(output) != ""
}

// install installs the chart from the repository with further arguments.
func (r *release) install(t *testing.T, args ...string) {
	t.Helper()
	bash(t, "helm repo add stable "+env.charts)
	r.installChart(t, "stable/redis-ha", args...)
}

// installChart installs a chart that is in the repository, a registry or a
// folder.
func (r *release) installChart(t *testing.T, chart string, args ...string) {
	t.Helper()
	r.watcher = watch(r)
	r.dumpIfFailed(t)
	r.notes = r.helm(t, "install", append([]string{r.name, chart}, args...)...)
	r.installed = true
	if r.readPassword {
		r.password = r.secretPassword(t)
	}
	if r.tls {
		r.takeCertificate(t)
	}
	took := eventually(t, installTime, fmt.Sprintf("release %s to be healthy after helm install", r.name), r.healthy)
	t.Logf("release %s is ready %.1f s after helm install", r.name, took.Seconds())
	r.waitServed(t)
}

// upgrade changes values of the release; those not named stay.
func (r *release) upgrade(t *testing.T, args ...string) {
	t.Helper()
	r.helm(t, "upgrade", append([]string{r.name, "stable/redis-ha", "--reuse-values"}, args...)...)
}

// uninstall removes the release and waits until it is gone.
func (r *release) uninstall(t *testing.T) {
	t.Helper()
	r.helm(t, "uninstall", r.name)
	r.installed = false
	took := eventually(t, removalTime, "every object of release "+r.name+" to be gone", r.gone)
	t.Logf("release %s is gone after %.1f s", r.name, took.Seconds())
	r.watcher.stop()
	r.watcher = nil
}

// helm runs a Helm command in the namespace of the release.
func (r *release) helm(t *testing.T, command string, args ...string) string {
	t.Helper()
	args = append(args, "--namespace", r.namespace)
	t.Logf("$ helm %s %s", command, strings.Join(args, " "))
	ctx, cancel := context.WithTimeout(t.Context(), installTime)
	defer cancel()
	output, err := helm.RunHelmCommandAndGetStdOutContextE(t, ctx, quietHelm(), command, args...)
	require.NoError(t, err)
	return output
}

func quietHelm() *helm.Options { return &helm.Options{Logger: logger.Discard} }

func (r *release) fullname() string { return r.name + "-redis-ha" }

func (r *release) serverWorkload() string {
	return cmp.Or(r.workload, "deployment") + "/" + r.fullname() + "-server"
}

func (r *release) sentinelDeployment() string { return "deployment/" + r.fullname() + "-sentinel" }

func (r *release) masterService() string { return r.fullname() + "-master-svc." + r.namespace }

// selector finds the pods of the release.
func (r *release) selector() string { return "app=redis-ha,release=" + r.name }

// gone finds nothing of the release in its namespace any more.
func (r *release) gone(ctx context.Context) error {
	left, err := r.objects(ctx)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("still there: %s", strings.Join(left, ", "))
	}
	return err
}

// releaseKinds are all kinds of objects that a release or its pods can make.
const releaseKinds = "pods,persistentvolumeclaims,leases,secrets,configmaps,services,endpointslices,serviceaccounts," +
	"roles,rolebindings,deployments,replicasets,statefulsets,controllerrevisions,poddisruptionbudgets,networkpolicies," +
	"validatingadmissionpolicies,validatingadmissionpolicybindings"

// objects lists what belongs to the release, by the prefix of its names: not
// everything has its labels.
func (r *release) objects(ctx context.Context) ([]string, error) {
	text, err := output(ctx, "kubectl", "get", releaseKinds, "--namespace", r.namespace, "-o", "name")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, name := range strings.Fields(text) {
		_, object, _ := strings.Cut(name, "/")
		if strings.HasPrefix(object, r.fullname()) || strings.HasPrefix(object, "sh.helm.release.v1."+r.name+".") {
			found = append(found, name)
		}
	}
	return found, nil
}

// bash runs a command line word for word, as somebody pasting it would, and
// returns its standard output.
func bash(t *testing.T, line string) string {
	t.Helper()
	output, err := tryBash(t, line, "")
	require.NoError(t, err)
	return output
}

// tryBash is bash for a line that may fail, and that reads what was typed.
func tryBash(t *testing.T, line, typed string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	t.Log("$ " + line)
	return shell.RunCommandContextAndGetStdOutE(t, ctx, &shell.Command{
		Command: "bash", Args: []string{"-c", line}, Stdin: strings.NewReader(typed), Logger: logger.TestingT,
	})
}

// bashAfter runs a command line when a test has ended, whatever it says.
func bashAfter(t *testing.T, line string) {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	if _, err := output(ctx, "bash", "-c", line); err != nil {
		t.Logf("after the test: %v", err)
	}
}

// kubectl runs kubectl in the namespace of the release.
func (r *release) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callTime)
	defer cancel()
	t.Logf("$ kubectl %s", strings.Join(args, " "))
	output, err := shell.RunCommandContextAndGetStdOutE(t, ctx, &shell.Command{
		Command: "kubectl", Args: append([]string{"--namespace", r.namespace}, args...), Logger: logger.Discard,
	})
	require.NoError(t, err)
	return output
}

// listOptions selects the pods of the release.
func (r *release) listOptions() metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: r.selector()}
}
