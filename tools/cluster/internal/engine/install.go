package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/redis-ha/redis-ha/tools/cluster/internal/command"
)

// A part of Podman, as Debian packages it.
type part struct {
	// pkg is the Debian package.
	pkg string
	// paths are where its file may be; a name without a slash is looked up in
	// PATH.
	paths []string
}

// podmanParts is what a kind cluster under Podman needs: names of nodes come
// from aardvark-dns, ports from netavark, and hybrid cgroups want runc.
var podmanParts = []part{
	{"podman", []string{"podman"}},
	{"conmon", []string{"conmon", "/usr/libexec/podman/conmon"}},
	{"runc", []string{"runc"}},
	{"netavark", []string{"netavark", "/usr/lib/podman/netavark", "/usr/libexec/podman/netavark"}},
	{"aardvark-dns", []string{"aardvark-dns", "/usr/lib/podman/aardvark-dns", "/usr/libexec/podman/aardvark-dns"}},
	{"iptables", []string{"iptables", "/usr/sbin/iptables"}},
}

// debootstrapParts make a Debian root file system where no registry answers.
var debootstrapParts = []part{
	{"debootstrap", []string{"debootstrap", "/usr/sbin/debootstrap"}},
	{"debian-archive-keyring", []string{"/usr/share/keyrings/debian-archive-keyring.gpg"}},
}

// testParts are the programs that the tests without a cluster run.
var testParts = []part{
	{"redis-server", []string{"redis-server"}},
	{"redis-tools", []string{"redis-cli"}},
	{"yamllint", []string{"yamllint"}},
}

// missing returns the packages of the parts that exists does not find.
func missing(parts []part, exists func(path string) bool) []string {
	var packages []string
	for _, candidate := range parts {
		found := false
		for _, path := range candidate.paths {
			found = found || exists(path)
		}
		if !found {
			packages = append(packages, candidate.pkg)
		}
	}
	return packages
}

func installed(path string) bool {
	if strings.HasPrefix(path, "/") {
		_, err := os.Stat(path)
		return err == nil
	}
	_, err := exec.LookPath(path)
	return err == nil
}

func (f Finder) installPodman(ctx context.Context) error {
	if err := f.install(ctx, missing(podmanParts, installed)); err != nil {
		return err
	}
	// Podman does not create a missing folder that a container binds, and
	// every kind node binds this one.
	if _, err := os.Stat("/lib/modules"); errors.Is(err, os.ErrNotExist) && os.Geteuid() == 0 {
		if err := os.MkdirAll("/lib/modules", 0o755); err != nil {
			return fmt.Errorf("create /lib/modules, which kind nodes bind: %w", err)
		}
	}
	return nil
}

// InstallDebootstrap installs debootstrap and the keys of Debian's archive if
// they are missing.
func (f Finder) InstallDebootstrap(ctx context.Context) error {
	return f.install(ctx, missing(debootstrapParts, installed))
}

// InstallTestPrograms installs what the tests without a cluster run.
func (f Finder) InstallTestPrograms(ctx context.Context) error {
	return f.install(ctx, missing(testParts, installed))
}

// install adds Debian packages, or says what to install where it may not.
func (f Finder) install(ctx context.Context, packages []string) error {
	if len(packages) == 0 {
		return nil
	}
	list := strings.Join(packages, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("missing: %s (install them with this system's package manager)", list)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("missing: %s (install them: sudo apt-get install %s)", list, list)
	}
	return f.Progress.Step("Install "+list+" from Debian's packages", func() error {
		return f.aptInstall(ctx, packages)
	})
}

// lockPatience is how long apt-get waits for another one to end, as the
// automatic updates of a machine that has just started run for minutes.
const lockPatience = "DPkg::Lock::Timeout=300"

// aptInstall installs Debian packages. A dpkg that was killed is finished
// first, as it accepts no more before.
func (f Finder) aptInstall(ctx context.Context, packages []string) error {
	apt := f.Runner.With("DEBIAN_FRONTEND=noninteractive")
	if err := apt.Run(ctx, "apt-get", "update"); err != nil {
		f.Progress.Line("apt-get update failed; trying with the package lists as they are")
	}
	install := append([]string{"-o", lockPatience, "install", "-y", "--no-install-recommends"}, packages...)
	err := apt.Run(ctx, "apt-get", install...)
	var failed *command.Error
	if !errors.As(err, &failed) || !strings.Contains(failed.Output, "dpkg was interrupted") {
		return err
	}
	if err := apt.Run(ctx, "dpkg", "--configure", "-a"); err != nil {
		return err
	}
	return apt.Run(ctx, "apt-get", install...)
}
