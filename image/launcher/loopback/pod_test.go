package loopback

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeapi"
)

// restartDelay is how long the kubelet needs to start a container again after
// its first crash.
const restartDelay = 500 * time.Millisecond

// pod is one pod of the release and the container that runs in it.
type pod struct {
	cluster   *cluster
	name, uid string
	ip        string
	sentinel  bool
	created   time.Time
	dataDir   string
	runDir    string
	mounted   bool   // the Secret with the password has been mounted
	password  string // REDIS_PASS; the release's unless a test sets another
	output    *output
	api       *fakeapi.Client

	mu       sync.Mutex
	process  *process // the container that runs or ran last
	restarts int      // containers started after the first one
	crashes  []int    // exit codes of containers that ended by themselves
	held     bool     // the kubelet does not restart the container
	deleted  bool     // the pod is being deleted or is gone
	expected bool     // the next exit is the test's doing
}

func (p *pod) kubeconfig() string { return filepath.Join(p.cluster.dir, p.name, "kubeconfig") }

// address is where the pod's redis or sentinel listens.
func (p *pod) address() string {
	if p.sentinel {
		return p.ip + ":26379"
	}
	return p.ip + ":6379"
}

// url is an address of the launcher's HTTP server.
func (p *pod) url(path string) string {
	scheme := "http://"
	if p.cluster.encryption() != nil {
		scheme = "https://"
	}
	return scheme + p.ip + ":8080" + path
}

// environment is what the chart sets for the pod.
func (p *pod) environment() []string {
	o := p.cluster.options
	variables := map[string]string{
		"REDIS_CHART_PREFIX": fullname + "-",
		"POD_NAME":           p.name, "POD_NAMESPACE": "kube-public", "POD_IP": p.ip, "POD_UID": p.uid,
		"LAUNCHER_POD_SELECTOR":                  "app=redis-ha,release=redis-ha",
		"LAUNCHER_SERVERS":                       strconv.Itoa(o.servers),
		"LAUNCHER_SENTINELS":                     strconv.Itoa(o.sentinels),
		"LAUNCHER_QUORUM":                        strconv.Itoa(o.sentinels/2 + 1),
		"LAUNCHER_MASTER_NAME":                   "mymaster",
		"LAUNCHER_DOWN_AFTER_MILLISECONDS":       strconv.FormatInt(o.downAfter.Milliseconds(), 10),
		"LAUNCHER_FAILOVER_TIMEOUT_MILLISECONDS": "8000",
		"LAUNCHER_LOG_LEVEL":                     "debug",
		"LAUNCHER_BIND_ADDRESS":                  p.ip,
		"LAUNCHER_RUN_DIR":                       p.runDir,
		"LAUNCHER_KUBECONFIG":                    p.kubeconfig(),
	}
	if o.secretPassword {
		p.mountPassword(variables)
	} else if p.password != "" {
		variables["REDIS_PASS"] = p.password
	}
	if p.sentinel {
		if o.webhook != "" {
			variables["LAUNCHER_NOTIFY_WEBHOOK_URL"] = o.webhook
		}
		variables["SENTINEL"] = "true"
		variables["LAUNCHER_SHUTDOWN_BUDGET_SECONDS"] = "25"
	} else {
		variables["REDIS_SENTINEL_SERVICE_HOST"] = p.cluster.sentinelService()
		variables["LAUNCHER_MIN_REPLICAS_TO_WRITE"] = strconv.Itoa(min(1, o.servers-1))
		variables["LAUNCHER_MIN_REPLICAS_MAX_LAG_SECONDS"] = "3"
		variables["LAUNCHER_PERSISTENCE"] = strconv.FormatBool(!o.noPersistence)
		variables["LAUNCHER_SHUTDOWN_BUDGET_SECONDS"] = "55"
		variables["LAUNCHER_DATA_DIR"] = p.dataDir
		if o.extraConfig != "" {
			variables["LAUNCHER_REDIS_CONFIG_FILE"] = o.extraConfig
		}
	}
	if o.followed || o.secretPassword {
		p.mountSettings(variables)
	}
	if o.secret.Cert != nil {
		p.mountSecret(variables)
	}
	for name, value := range o.environment {
		variables[name] = value
	}
	for name, value := range o.serverEnvironment {
		if !p.sentinel {
			variables[name] = value
		}
	}
	var result []string
	for name, value := range variables {
		result = append(result, name+"="+value)
	}
	sort.Strings(result)
	return result
}

// run starts the container; the kubelet starts it again when it ends, until
// the pod is held or deleted.
func (p *pod) run() {
	p.cluster.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = false
	if err := p.runLocked(); err != nil {
		p.cluster.t.Fatal(err)
	}
}

func (p *pod) runLocked() error {
	if p.process != nil {
		if p.process.running() {
			return nil
		}
		p.restarts++
	}
	process, err := startProcess(p.environment(), p.output)
	if err != nil {
		return err
	}
	p.output.note(fmt.Sprintf("container started, launcher is process %d", process.command.Process.Pid))
	p.process = process
	p.expected = false
	go p.supervise(process)
	return nil
}

// supervise is the kubelet: it restarts a container that has ended.
func (p *pod) supervise(process *process) {
	<-process.exited
	p.output.note(fmt.Sprintf("container ended with code %d", process.code))
	p.mu.Lock()
	if !p.expected && !p.deleted {
		p.crashes = append(p.crashes, process.code)
	}
	p.mu.Unlock()
	time.Sleep(restartDelay)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held || p.deleted || p.process != process {
		return
	}
	if err := p.runLocked(); err != nil {
		p.output.note(err.Error())
	}
}

// hold keeps the kubelet from starting the container again, until run.
func (p *pod) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = true
}

// expectExit marks the next end of the container as the test's doing and
// returns the running process, or nil.
func (p *pod) expectExit() *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = true
	return p.process
}

// kill ends the container without warning, as the OOM killer or a crash of
// the launcher does.
func (p *pod) kill() {
	if process := p.expectExit(); process != nil {
		p.output.note("the test kills the container")
		process.kill()
	}
}

// killRedis ends redis alone and says which process it was.
func (p *pod) killRedis() {
	p.cluster.t.Helper()
	process := p.expectExit()
	pid, err := process.redis()
	if err != nil {
		p.cluster.t.Fatalf("kill redis of %s: %v", p.name, err)
	}
	p.output.note("the test kills redis")
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

// freezeRedis stops redis as a hang does, thawRedis ends it.
func (p *pod) freezeRedis() { p.signalRedis(syscall.SIGSTOP) }
func (p *pod) thawRedis()   { p.signalRedis(syscall.SIGCONT) }

func (p *pod) signalRedis(signal syscall.Signal) {
	p.cluster.t.Helper()
	pid, err := p.current().redis()
	if err != nil {
		p.cluster.t.Fatalf("signal redis of %s: %v", p.name, err)
	}
	p.output.note("the test sends redis " + signal.String())
	_ = syscall.Kill(pid, signal)
}

// freeze stops the whole container as a paused node does, thaw ends it.
func (p *pod) freeze() {
	p.output.note("the test freezes the container")
	p.current().signalAll(syscall.SIGSTOP)
}

func (p *pod) thaw() {
	p.output.note("the test thaws the container")
	p.current().signalAll(syscall.SIGCONT)
}

func (p *pod) current() *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.process
}

func (p *pod) isRunning() bool {
	process := p.current()
	return process != nil && process.running()
}

func (p *pod) isDeleted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.deleted
}

// restartCount is how often the kubelet has started the container again.
func (p *pod) restartCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.restarts
}

// grace is terminationGracePeriodSeconds of the chart.
func (p *pod) grace() time.Duration {
	if p.sentinel {
		return 30 * time.Second
	}
	return 60 * time.Second
}

// stop sends TERM and waits for the end of the container. It fails the test
// when the launcher needs longer than the grace period or does not exit with 0.
func (p *pod) stop() time.Duration {
	process := p.expectExit()
	p.output.note("the test sends TERM")
	begin := time.Now()
	_ = process.signal(syscall.SIGTERM)
	select {
	case <-process.exited:
		if process.code != 0 {
			p.cluster.t.Errorf("after TERM the launcher of %s ended with code %d, not 0", p.name, process.code)
		}
	case <-time.After(p.grace()):
		p.cluster.t.Errorf("the launcher of %s did not end within %v of TERM", p.name, p.grace())
		process.kill()
	}
	return time.Since(begin)
}

// remove deletes the pod as kubectl delete does: marked as terminating, TERM,
// and gone from the API when the container has ended.
func (p *pod) remove() time.Duration {
	took := p.removeButVolume()
	p.removeVolumes()
	return took
}

// removeButVolume is remove where the data volume outlives the pod; see comeBack.
func (p *pod) removeButVolume() time.Duration {
	p.mu.Lock()
	p.deleted = true
	p.mu.Unlock()
	if err := p.cluster.api.MarkDeleted(p.name, p.grace()); err != nil {
		p.cluster.t.Error(err)
	}
	took := p.stop()
	p.forget()
	return took
}

// comeBack adds and runs the next pod on the data volume of a pod that is gone.
func (p *pod) comeBack() *pod {
	p.cluster.t.Helper()
	next := p.cluster.addServer()
	if err := os.Remove(next.dataDir); err != nil {
		p.cluster.t.Fatal(err)
	}
	if err := os.Rename(p.dataDir, next.dataDir); err != nil {
		p.cluster.t.Fatal(err)
	}
	p.cluster.data.wiped(p)
	next.run()
	return next
}

// removeByForce deletes the pod as kubectl delete --force --grace-period=0, on a node
// where the kubelet kills the container at once.
func (p *pod) removeByForce() {
	p.loseObject()
	p.killRemoved()
}

// loseObject removes the object of the pod, as kubectl delete --force --grace-period=0
// does first. The container runs on, and reaches the API.
func (p *pod) loseObject() {
	p.mu.Lock()
	p.deleted = true
	p.mu.Unlock()
	if err := p.cluster.api.RemovePod(p.name); err != nil {
		p.cluster.t.Error(err)
	}
}

// killRemoved ends the container of a pod that has no object any more.
func (p *pod) killRemoved() {
	_ = p.api.Close()
	p.kill()
	p.removeVolumes()
}

// loseNode leaves the pod as the loss of its node does after some minutes: it answers
// nothing, and its object is terminating, beyond its grace period, until somebody
// deletes the Node.
func (p *pod) loseNode() {
	p.freeze()
	p.mu.Lock()
	p.deleted = true
	p.mu.Unlock()
	if err := p.cluster.api.MarkDeleted(p.name, -time.Minute); err != nil {
		p.cluster.t.Error(err)
	}
	err := p.cluster.api.UpdatePod(p.name, func(object *corev1.Pod) {
		object.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionUnknown}}
	})
	if err != nil {
		p.cluster.t.Error(err)
	}
}

// forget removes the pod's object.
func (p *pod) forget() {
	if err := p.cluster.api.RemovePod(p.name); err != nil {
		p.cluster.t.Error(err)
	}
	_ = p.api.Close()
}

func (p *pod) removeVolumes() {
	for _, dir := range []string{p.dataDir, p.runDir} {
		_ = os.RemoveAll(dir)
	}
	p.cluster.data.wiped(p)
}

// describe is one line about the pod.
func (p *pod) describe() string {
	p.mu.Lock()
	running := p.process != nil && p.process.running()
	text := fmt.Sprintf("%s %s running=%t restarts=%d crashes=%v deleted=%t", p.name, p.ip, running, p.restarts, p.crashes, p.deleted)
	p.mu.Unlock()
	if object := p.cluster.api.Pod(p.name); object != nil {
		text += fmt.Sprintf(" labels redis-role=%s podIP=%s runID=%s", object.Labels["redis-role"], object.Labels["podIP"], object.Labels["runID"])
	}
	return text
}

// emptyVolume removes the data of a pod that does not run.
func (p *pod) emptyVolume() {
	if err := os.RemoveAll(p.dataDir); err != nil {
		p.cluster.t.Fatal(err)
	}
	if err := os.MkdirAll(p.dataDir, 0o700); err != nil {
		p.cluster.t.Fatal(err)
	}
	p.cluster.data.wiped(p)
}
