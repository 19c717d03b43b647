// Package status prints what is true of a release at this moment: every pod,
// its role as the label says and as Redis says, offsets, lag and quorum.
package status

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/certificate"
	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/password"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/settings"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
)

// row is one pod of the release.
type row struct {
	pod      kube.Pod
	info     redisnode.Info
	master   redisnode.MasterView
	others   int // other sentinels a sentinel knows
	found    bool
	err      error
	sentinel bool
	launcher told // what its launcher tells; zero where it does not answer
}

// told is what a launcher tells of itself. A sentinel's launcher tells a part of it.
type told struct {
	role.Status
	Settings    settings.State     `json:"settings"`
	Certificate *certificate.State `json:"certificate"` // nil: it encrypts nothing
	Password    *password.Told     `json:"password"`    // nil: it has one password for good
}

// Print asks all pods of the release and writes a table.
func Print(ctx context.Context, c config.Config, passwords *password.Keeper, api *kube.Client, out io.Writer) error {
	pods, err := api.LivePods(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(pods, func(a, b kube.Pod) int { return cmp.Compare(a.Name, b.Name) })
	rows := ask(ctx, c, pods)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "POD\tIP\tLABEL\tREDIS SAYS\tOFFSET\tLAG\tNODE\tSETTINGS\tRULE")
	var top int64
	for _, r := range rows {
		if r.err == nil && !r.sentinel && r.info.Master {
			top = max(top, r.info.Offset)
		}
	}
	for _, r := range rows {
		offset, lag := "-", "-"
		if r.err == nil && !r.sentinel {
			offset = fmt.Sprint(r.info.Offset)
			if !r.info.Master && top > 0 {
				lag = fmt.Sprintf("%d B", max(0, top-r.info.Offset))
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.pod.Name, address(r.pod.IP), orDash(r.pod.Role), r.says(), offset, lag, orDash(r.pod.Node),
			r.follows(), orDash(r.launcher.Rule))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print the status: %w", err)
	}
	for _, r := range rows {
		for _, note := range []string{r.launcher.Lacks, r.launcher.Restore} {
			if note != "" {
				fmt.Fprintf(out, "%s: %s\n", r.pod.Name, note)
			}
		}
		if r.launcher.Certificate != nil {
			for _, pending := range r.launcher.Certificate.Pending {
				fmt.Fprintf(out, "%s: certificate: %s\n", r.pod.Name, pending)
			}
		}
		if r.launcher.Password != nil {
			for _, pending := range r.launcher.Password.Pending {
				fmt.Fprintf(out, "%s: password: %s\n", r.pod.Name, pending)
			}
		}
		for _, pending := range r.launcher.Settings.Pending {
			fmt.Fprintf(out, "%s: settings: %s\n", r.pod.Name, pending)
		}
	}
	fmt.Fprintln(out, applied(c, rows))
	if line := certified(rows, time.Now()); line != "" {
		fmt.Fprintln(out, line)
	}
	if passwords != nil {
		accepting := passwords.Accepting(ctx, password.Peers(pods, c, false), c.HTTPPort)
		fmt.Fprintln(out, accepted(rows, passwords.Told().Aware, accepting))
	}
	fmt.Fprintln(out, quorum(c, rows))
	if r, err := api.Record(ctx); err == nil && r.Restored != "" { // what Redis says is shown all the same
		fmt.Fprintln(out, restored(r))
	}
	return nil
}

// restored says which backup the data of the release come from.
func restored(r record.Record) string {
	if r.RestoredIn == 0 {
		return fmt.Sprintf("data: the release began with backup %s", r.Restored)
	}
	return fmt.Sprintf("data: backup %s has replaced those before generation %d", r.Restored, r.RestoredIn)
}

// ask asks all pods at once.
func ask(ctx context.Context, c config.Config, pods []kube.Pod) []row {
	rows := make([]row, len(pods))
	var wait sync.WaitGroup
	for i, pod := range pods {
		rows[i] = row{pod: pod, sentinel: pod.Sentinel}
		if !pod.IP.IsValid() {
			rows[i].err = fmt.Errorf("no address yet")
			continue
		}
		wait.Go(func() { rows[i].ask(ctx, c) })
	}
	wait.Wait()
	return rows
}

func (r *row) ask(ctx context.Context, c config.Config) {
	port := c.RedisPort
	if r.sentinel {
		port = c.SentinelPort
	}
	node := redisnode.New(netip.AddrPortFrom(r.pod.IP, uint16(port)), c.Password).Encrypted(c.TLS.Links).Trying(c.PasswordSource.Trying)
	defer node.Close()
	if err := web.FetchStatus(ctx, r.pod.IP.String(), c.HTTPPort, &r.launcher); err != nil {
		r.launcher = told{} // what Redis says is shown all the same
	}
	if !r.sentinel {
		r.info, r.err = node.Info(ctx)
		return
	}
	if r.master, r.found, r.err = node.Master(ctx, c.MasterName); r.err != nil {
		return
	}
	known, err := node.KnownSentinels(ctx, c.MasterName)
	r.others, r.err = len(known), err
}

// says is what the process in the pod says of itself.
func (r row) says() string {
	switch {
	case r.err != nil:
		return redisnode.ReachOf(r.err).String()
	case r.sentinel && !r.found:
		return "sentinel, no master"
	case r.sentinel:
		text := fmt.Sprintf("sentinel, master %v", r.master.Addr.Addr())
		if r.master.ObjectiveDown || r.master.SubjectiveDown {
			text += " (down)"
		}
		return text
	case r.info.Loading:
		return "loading"
	case r.info.Master:
		return fmt.Sprintf("master, %d replica(s)", len(r.info.Replicas))
	case r.info.LinkUp:
		return fmt.Sprintf("slave of %v", r.info.MasterAddr.Addr())
	default:
		return fmt.Sprintf("slave of %v (not connected)", r.info.MasterAddr.Addr())
	}
}

// follows is the version of the settings that a launcher follows, with "..." where a part of them has not been applied.
func (r row) follows() string {
	version := orDash(r.launcher.Settings.Version)
	if len(r.launcher.Settings.Pending) > 0 {
		version += "..."
	}
	return version
}

// applied sums up the settings in a sentence.
func applied(c config.Config, rows []row) string {
	if c.SettingsVersion == "" {
		return "settings: from the environment only"
	}
	all := 0
	for _, r := range rows {
		if s := r.launcher.Settings; s.Version == c.SettingsVersion && len(s.Pending) == 0 {
			all++
		}
	}
	return fmt.Sprintf("settings: %d of %d pods have applied %s, which this pod has read", all, len(rows), c.SettingsVersion)
}

// certified sums up the certificates in a sentence: the most pods show the one that is named. It is empty where nobody tells of a certificate.
func certified(rows []row, now time.Time) string {
	show := map[string]int{}
	var most certificate.State
	for _, r := range rows {
		told := r.launcher.Certificate
		if told == nil {
			continue
		}
		show[told.Version]++
		if show[told.Version] > show[most.Version] || most.Version == "" {
			most = *told
		}
	}
	if most.Version == "" {
		return ""
	}
	return fmt.Sprintf("certificate: %d of %d pods show %s, which %s", show[most.Version], len(rows), most.Version, most.Expiry(now))
}

// accepted sums up in a sentence how far a change of the password is. Accepting pods accept what the Secret of this pod holds, or let in
// whoever has no password where auth is off.
func accepted(rows []row, auth bool, accepting int) string {
	earlier, using, until := 0, 0, time.Time{}
	for _, r := range rows {
		told := r.launcher.Password
		if told == nil {
			continue
		}
		if told.Earlier > 0 {
			earlier++
		}
		if told.InUse {
			using++
		}
		if told.Until.After(until) {
			until = told.Until
		}
	}
	if !auth {
		return fmt.Sprintf("password: auth is off, and %d of %d pods let in clients without one", accepting, len(rows))
	}
	text := fmt.Sprintf("password: %d of %d pods accept what the Secret of this pod holds, %d use what their Secret holds, %d accept an earlier one as well",
		accepting, len(rows), using, earlier)
	if !until.IsZero() {
		text += ", until " + until.UTC().Format(time.RFC3339)
	}
	return text
}

// quorum sums up the sentinels in a sentence.
func quorum(c config.Config, rows []row) string {
	votes := map[netip.Addr]int{}
	answering := 0
	for _, r := range rows {
		if r.sentinel && r.err == nil && r.found {
			answering++
			votes[r.master.Addr.Addr()]++
		}
	}
	verdict := "no majority names a master"
	for ip, n := range votes {
		if n >= c.Majority() {
			verdict = fmt.Sprintf("%d name %v", n, ip)
		}
	}
	return fmt.Sprintf("sentinels: %d of %d answer, quorum %d, %s", answering, c.Sentinels, c.Quorum, verdict)
}

func address(ip netip.Addr) string {
	if !ip.IsValid() {
		return "-"
	}
	return ip.String()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
