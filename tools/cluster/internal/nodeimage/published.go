package nodeimage

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/kind/pkg/apis/config/defaults"

	"github.com/redis-ha/redis-ha/tools/cluster/internal/engine"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/progress"
)

const (
	// askTime bounds the question whether a registry has the image.
	askTime = 15 * time.Second
	// pullTime bounds its download, some 400 MB.
	pullTime = 15 * time.Minute
)

// Published is the node image that belongs to the pinned version of kind.
const Published = defaults.Image

// Pull makes the published node image available, and says why it cannot.
func Pull(ctx context.Context, on *engine.Engine, report *progress.Reporter) error {
	if on.HasImage(ctx, Published) {
		return nil
	}
	ask, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if err := on.Run(ask, "manifest", "inspect", Published); err != nil {
		return fmt.Errorf("no registry answers")
	}
	return report.Step("Download the published node image", func() error {
		pull, cancel := context.WithTimeout(ctx, pullTime)
		defer cancel()
		return on.Run(pull, "pull", Published)
	})
}
