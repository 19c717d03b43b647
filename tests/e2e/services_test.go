package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// served finds nothing wrong when the Services lead to what they are for, seen
// from the client and from each server: kube-proxy on each node follows the API
// after up to seconds, which healthy cannot see.
func (r *release) served(ctx context.Context) error {
	v, err := r.look(ctx)
	if err != nil {
		return err
	}
	masters := v.with("master")
	if len(masters) != 1 {
		return fmt.Errorf("%d pods have redis-role=master, want 1", len(masters))
	}
	ask := func(namespace, pod, files string) error {
		script, want := r.serviceQuestions(masters[0].Status.PodIP, files)
		said, err := env.Execute(ctx, namespace, pod, strings.NewReader(script), "bash", "-s")
		if got := strings.Join(strings.Fields(said), " "); err == nil && got != want {
			err = fmt.Errorf("the Services answer pod %s %q, want %q", pod, got, want)
		}
		return err
	}
	servers := v.component("server")
	problems := make([]error, len(servers)+1)
	var all sync.WaitGroup
	all.Go(func() { problems[len(servers)] = ask(workNamespace, clientPod, r.clientFiles()) })
	for i, pod := range servers {
		all.Go(func() { problems[i] = ask(pod.Namespace, pod.Name, certificateDir) })
	}
	all.Wait()
	return errors.Join(problems...)
}

// serviceQuestions is a script that asks each Service who is behind it, and
// what it must say, in words. files is where the pod that asks has a certificate.
func (r *release) serviceQuestions(master, files string) (script, want string) {
	script = login(r.password) + `ask() { timeout 2 ` + r.redisCLI(files) + ` -h "$1" -p "$2" "${@:3}" 2>&1 </dev/null; }` + "\n"
	script += fmt.Sprintf("ask %s %d role | head -1\n", r.masterService(), redisPort)
	want = "master"
	if r.servers > 1 {
		script += fmt.Sprintf("ask %s-slave-svc.%s %d role | head -2\n", r.fullname(), r.namespace, redisPort)
		want += " slave " + master
	}
	script += fmt.Sprintf("ask %s-sentinel.%s %d sentinel get-master-addr-by-name %s | head -1\n", r.fullname(), r.namespace, sentinelPort, masterName)
	return script, want + " " + master
}
