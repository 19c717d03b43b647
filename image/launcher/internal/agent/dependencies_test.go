package agent

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// list asks the go command about the launcher, seen from the root of the module.
func list(t *testing.T, arguments ...string) []string {
	t.Helper()
	command := exec.Command("go", append([]string{"list"}, arguments...)...)
	command.Dir = filepath.Join("..", "..", "..", "..")
	output, err := command.Output()
	require.NoError(t, err)
	return strings.Fields(string(output))
}

func TestLauncherUsesOnlyTheModulesItIsMeantTo(t *testing.T) {
	allowed := []string{
		"github.com/redis-ha/redis-ha/image/launcher", "github.com/redis/go-redis/v9", "github.com/prometheus/client_golang", "github.com/spf13/cobra",
		"github.com/minio/minio-go/v7", "filippo.io/age", "golang.org/x/sys", "k8s.io/api", "k8s.io/apimachinery", "k8s.io/client-go",
	}
	imports := list(t, "-f", `{{join .Imports "\n"}}`, "./image/launcher", "./image/launcher/internal/...")
	require.NotEmpty(t, imports)
	for _, path := range imports {
		first, _, _ := strings.Cut(path, "/")
		known := !strings.Contains(first, ".")
		for _, module := range allowed {
			known = known || path == module || strings.HasPrefix(path, module+"/")
		}
		require.True(t, known, "the launcher imports %s: add it to the list if the image is to carry it", path)
	}
}

func TestImageCarriesNoHelmAndNoTestLibrary(t *testing.T) {
	dependencies := list(t, "-deps", "./image/launcher")
	require.Contains(t, dependencies, "k8s.io/client-go/rest")
	for _, path := range dependencies {
		for _, foreign := range []string{"helm.sh/", "github.com/stretchr/", "pgregory.net/", "github.com/redis-ha/redis-ha/image/launcher/loopback", "testing"} {
			require.False(t, path == foreign || strings.HasPrefix(path, foreign) && strings.HasSuffix(foreign, "/"), "the launcher links %s", path)
		}
	}
}

// layers are the packages that decide, ask and act, and which packages of the launcher each of them may import.
var layers = map[string][]string{
	"observe":    {"config", "kube", "redisnode", "role", "sentinel", "web"},
	"succession": {"config", "kube", "observe", "record", "redisnode", "role", "sentinel"},
	"copydata":   {"copyplan"},
	"copyplan":   {},
}

func TestPackagesImportOnlyTheLayersBelow(t *testing.T) {
	const internal = "github.com/redis-ha/redis-ha/image/launcher/internal/"
	for name, below := range layers {
		for _, path := range list(t, "-f", `{{join .Imports "\n"}}`, "./image/launcher/internal/"+name) {
			if imported, ours := strings.CutPrefix(path, internal); ours {
				require.Contains(t, below, imported, "imports of package %s", name)
			}
		}
	}
}

func TestDecisionsArePure(t *testing.T) {
	require.Subset(t, []string{"cmp", "errors", "fmt", "maps", "net/netip", "slices", "time", "github.com/redis-ha/redis-ha/image/launcher/internal/record", "github.com/redis-ha/redis-ha/image/launcher/internal/sentinel"},
		list(t, "-f", `{{join .Imports "\n"}}`, "./image/launcher/internal/role"))
}
