package kindcluster

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
)

func TestConfigOfAnOrdinaryHostHasNoPatches(t *testing.T) {
	cluster := Config("redis-ha", "kindest/node:v1", 3, Host{}, false)
	assert.Len(t, cluster.Nodes, 4)
	assert.Equal(t, v1alpha4.ControlPlaneRole, cluster.Nodes[0].Role)
	assert.Empty(t, cluster.KubeadmConfigPatches)
	assert.Empty(t, cluster.ContainerdConfigPatches)
	assert.False(t, cluster.Networking.DisableDefaultCNI)
	assert.Equal(t, v1alpha4.IPTablesProxyMode, cluster.Networking.KubeProxyMode)
}

func TestConfigOfARestrictedHost(t *testing.T) {
	cluster := Config("redis-ha", "local", 1, Host{CgroupV1: true, RestrictedOOM: true}, true)
	require.Len(t, cluster.KubeadmConfigPatches, 1)
	assert.Contains(t, cluster.KubeadmConfigPatches[0], "failCgroupV1: false")
	assert.Contains(t, cluster.KubeadmConfigPatches[0], "KubeletInUserNamespace: true")
	require.Len(t, cluster.ContainerdConfigPatches, 1)
	assert.Contains(t, cluster.ContainerdConfigPatches[0], "restrict_oom_score_adj = true")
	assert.True(t, cluster.Networking.DisableDefaultCNI)
}

func TestBoundingSet(t *testing.T) {
	assert.True(t, boundingSetHas("Name:\tx\nCapBnd:\t000001ffffffffff\n", capSysResource))
	assert.False(t, boundingSetHas("Name:\tx\nCapBnd:\t000001fffeffffff\n", capSysResource))
	assert.True(t, boundingSetHas("", capSysResource), "an unknown set counts as full")
}

func TestNodeNames(t *testing.T) {
	cluster := &Cluster{Name: "demo", Workers: 3}
	assert.Equal(t, []string{"demo-control-plane", "demo-worker", "demo-worker2", "demo-worker3"}, cluster.NodeNames())
}

func TestNotReady(t *testing.T) {
	wanted := []string{"a", "b", "c"}
	assert.Equal(t, []string{"b", "c"}, notReady("a=True\nb=Unknown\n", wanted))
	assert.Empty(t, notReady("c=True\na=True\nb=True\n", wanted))
}

func TestParseNetworks(t *testing.T) {
	networks, err := parseNetworks("a 10.244.0.0/24 10.89.0.2\nb 10.244.1.0/24 10.89.0.3\n")
	require.NoError(t, err)
	assert.Equal(t, []nodeNetwork{{"a", "10.244.0.0/24", "10.89.0.2"}, {"b", "10.244.1.0/24", "10.89.0.3"}}, networks)
	_, err = parseNetworks("a 10.244.0.0/24\n")
	assert.ErrorContains(t, err, "no pod range or address yet")
}

func TestNetworkScript(t *testing.T) {
	networks := []nodeNetwork{{"a", "10.244.0.0/24", "10.89.0.2"}, {"b", "10.244.1.0/24", "10.89.0.3"}}
	script := networkScript(networks[0], networks)
	assert.Contains(t, script, "ip route replace 10.244.1.0/24 via 10.89.0.3\n")
	assert.NotContains(t, script, "via 10.89.0.2", "no route to itself")
	_, rest, found := strings.Cut(script, "<<'EOF'\n")
	require.True(t, found)
	conflist, _, found := strings.Cut(rest, "EOF\n")
	require.True(t, found)
	assert.True(t, json.Valid([]byte(conflist)), conflist)
	check := exec.Command("sh", "-n")
	check.Stdin = strings.NewReader(script)
	assert.NoError(t, check.Run(), "the script has to be valid shell")
}

func TestFinishedPhase(t *testing.T) {
	phase, finished := finishedPhase(" ✓ Starting control-plane 🕹️\n")
	assert.True(t, finished)
	assert.Equal(t, "Starting control-plane", phase)
	_, finished = finishedPhase(" • Starting control-plane 🕹️  ...\n")
	assert.False(t, finished)
}

func TestCrowded(t *testing.T) {
	assert.Equal(t, "dns-2", crowded("dns-1 worker\ndns-2 worker\n"))
	assert.Empty(t, crowded("dns-1 worker\ndns-2 worker2\n"))
	assert.Empty(t, crowded("dns-1 worker\n"))
}

func TestKubeletHintNamesTheLimitOfInotifyInstances(t *testing.T) {
	require.Contains(t, instancesHint("128\n"), "the limit is 128")
	require.Empty(t, instancesHint("512\n"))
	require.Empty(t, instancesHint("unreadable"))
}
