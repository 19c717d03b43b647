package loopback

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// anyUser is a number that no file of the image names, of the range that OpenShift gives to a namespace.
const anyUser = 1000650000

// prepareVolumes gives the volumes of a pod to the group of the user, as the kubelet does for fsGroup, and lets the user reach them.
func (p *pod) prepareVolumes() {
	p.cluster.t.Helper()
	outer := []string{filepath.Dir(p.cluster.dir), p.cluster.dir, p.cluster.runDir, filepath.Dir(p.dataDir)}
	err := os.Chown(p.kubeconfig(), anyUser, 0)
	for _, dir := range outer {
		err = errors.Join(err, os.Chmod(dir, 0o711))
	}
	for _, dir := range []string{p.dataDir, p.runDir} {
		err = errors.Join(err, os.Chown(dir, 0, anyUser), os.Chmod(dir, 0o770|fs.ModeSetgid))
	}
	if err != nil {
		p.cluster.t.Fatal(err)
	}
}

// requireOwned wants all files of the data to belong to the user: nothing has been written before the launcher changed to it.
func (p *pod) requireOwned() {
	p.cluster.t.Helper()
	files := 0
	err := filepath.WalkDir(p.dataDir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == p.dataDir {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // Redis has removed it
		}
		if err != nil {
			return err
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != anyUser {
			p.cluster.t.Errorf("%s belongs to the user %d", path, owner)
		}
		files++
		return nil
	})
	if err != nil || files == 0 {
		p.cluster.t.Errorf("look at the data of %s: %d files, %v", p.name, files, err)
	}
}

// The launcher and Redis know their user by its rights only. A launcher that is killed finds its files again, and a hand-over loses nothing.
func TestReleaseRunsWithAnyUserIDOnLoopback(t *testing.T) {
	t.Parallel()
	o := options{environment: map[string]string{}}
	if canContain() {
		o.environment[userVariable] = strconv.Itoa(anyUser)
	} else {
		t.Log("this user may not change to another user: the launchers keep it")
	}
	c := newCluster(t, o)
	for range c.options.servers {
		c.addServer()
	}
	for range c.options.sentinels {
		c.addSentinel()
	}
	for _, p := range c.pods {
		if canContain() {
			p.prepareVolumes()
		}
		p.run()
	}
	old := c.converge()
	w := c.write()
	w.advance(200)
	c.slavesOf(old)[0].kill()
	w.advance(200)
	c.converge()
	if canContain() {
		for _, p := range c.servers() {
			p.requireOwned()
		}
	}
	old.remove()
	w.advance(200)
	if now := c.converge(); now == old {
		t.Errorf("%s is still the master", old.name)
	}
	w.requireNothingLost()
}
