package loopback

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"
)

// browser is a client for the launcher of a pod.
func (p *pod) browser() *http.Client {
	encryption := p.cluster.encryption()
	if encryption == nil {
		return http.DefaultClient
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: encryption, DisableKeepAlives: true}}
}

// get asks the launcher of a pod for a page and returns its code and text.
func get(p *pod, path string) (int, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url(path), nil)
	if err != nil {
		return 0, "", err
	}
	response, err := p.browser().Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// answers says why a page is not answered with 200.
func answers(p *pod, path string) error {
	code, body, err := get(p, path)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("%s of %s: %d %s", path, p.name, code, body)
	}
	return err
}

func ready(p *pod) error { return answers(p, "/readyz") }

func TestConvergedReleaseWritesNothingToTheAPI(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	w := c.write()
	// What was begun before the last check may still arrive.
	eventually(t, settle, "two seconds without a write", func() error {
		if writes := c.api.Writes(time.Now().Add(-2 * time.Second)); len(writes) > 0 {
			return fmt.Errorf("%v", writes[len(writes)-1])
		}
		return nil
	})
	begin := time.Now()
	throughout(t, 10*time.Second, "nothing is written to the API", func() error {
		if writes := c.api.Writes(begin); len(writes) > 0 {
			return fmt.Errorf("%v", writes)
		}
		return nil
	})
	requests := c.api.Requests(begin)
	t.Logf("%d requests in 10 s: %v", len(requests), requests[:min(len(requests), 5)])
	if perSecond := float64(len(requests)) / 10; perSecond > 6 {
		t.Errorf("a converged release of 6 pods asks the API %.1f times a second", perSecond)
	}
	w.requireNothingLost()
}

func TestAPIOutageDoesNotTouchRedis(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	w := c.write()
	master := c.converge()
	begin, history := time.Now(), len(c.api.RoleChanges())
	if err := c.api.Stop(); err != nil {
		t.Fatal(err)
	}
	throughout(t, 12*time.Second, "every launcher is alive and ready without the API", func() error {
		for _, p := range c.all() {
			if err := answers(p, "/livez"); err != nil {
				return err
			}
			if err := ready(p); err != nil {
				return err
			}
		}
		return nil
	})
	w.advance(100)
	if err := c.api.Start(); err != nil {
		t.Fatal(err)
	}
	if now := c.converge(); now != master {
		t.Errorf("the master moved from %s to %s during an API outage", master.name, now.name)
	}
	if changes := c.api.RoleChanges()[history:]; len(changes) > 0 {
		t.Errorf("labels changed: %v", changes)
	}
	c.requireNoCrash()
	t.Logf("outage and return took %v", time.Since(begin))
	w.requireNothingLost()
	w.requireGapBelow(2 * time.Second)
}

func TestFailoverDuringAnAPIOutageIsLabelledWhenItReturns(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.fill(t, 200)
	old := c.converge()
	slaves := c.slavesOf(old)
	if err := c.api.Stop(); err != nil {
		t.Fatal(err)
	}
	old.killRedis()
	eventually(t, settle, "a slave to be promoted although the API is down", func() error {
		for _, p := range slaves {
			if n, err := c.info(p); err == nil && n.role == "master" {
				return nil
			}
		}
		return fmt.Errorf("both slaves are still slaves")
	})
	// What the labels say now is old; they must become right soon after.
	if err := c.api.Start(); err != nil {
		t.Fatal(err)
	}
	took := eventually(t, settle, "the new master to be labelled", func() error { return c.checkMasterIsNot(old) })
	t.Logf("the labels were right %v after the API returned", took)
	if master := c.converge(); !slices.Contains(slaves, master) {
		t.Errorf("the master is %s", master.name)
	}
	c.requireKeys(200)
}

func TestServerRestartedDuringAnAPIOutageKeepsItsData(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.fill(t, 200)
	master := c.converge()
	slave := c.slavesOf(master)[0]
	if err := c.api.Stop(); err != nil {
		t.Fatal(err)
	}
	slave.kill()
	took := eventually(t, settle, "the slave to find the master through the sentinel Service and follow it", func() error {
		n, err := c.info(master)
		if err == nil && n.role != "master" {
			t.Fatalf("%s is %s", master.name, n.role)
		}
		if n, err = c.info(slave); err == nil && !n.linkUp {
			err = fmt.Errorf("%s is a %s without a link", slave.name, n.role)
		}
		return err
	})
	t.Logf("the slave was back %v after the kill", took)
	if err := c.api.Start(); err != nil {
		t.Fatal(err)
	}
	if now := c.converge(); now != master {
		t.Errorf("the master moved from %s to %s", master.name, now.name)
	}
	c.requireKeys(200)
}

func TestLauncherThatLostItsWatchCatchesUp(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	old := c.converge()
	for _, p := range c.all() {
		if err := p.api.Cut(); err != nil {
			t.Fatal(err)
		}
	}
	old.removeByForce()
	c.addServer().run()
	c.api.Compact()
	for _, p := range c.all() {
		if err := p.api.Mend(); err != nil {
			t.Fatal(err)
		}
	}
	if master := c.converge(); master == old {
		t.Error("the deleted pod is master")
	}
}

func TestSlowAPIOnlyDelaysTheLabels(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.fill(t, 100)
	c.api.SetLatency(700 * time.Millisecond)
	old := c.converge()
	old.remove()
	c.addServer().run()
	eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
	c.converge()
	c.requireKeys(100)
}
