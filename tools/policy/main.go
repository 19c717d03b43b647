// Command policy runs the rules of tests/render/policy on the values of a user.
//
//	go run ./tools/policy -f my-values.yaml [-f more.yaml] [--set key=value] [--kube-version 1.34] [-o text|junit|sarif]
//
// It exits with 0 if every rule is kept, 1 if there are findings, and 2 if there are no values or no chart, the values cannot be
// read, or the chart refuses them. `go run` makes 1 of the 2, and prints it; a built program does not.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"helm.sh/helm/v3/pkg/cli"
	"helm.sh/helm/v3/pkg/cli/values"
	"helm.sh/helm/v3/pkg/getter"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// errFindings makes the exit code 1.
var errFindings = errors.New("there are findings")

func main() {
	command := newCommand(os.Stdout)
	switch err := command.Execute(); {
	case errors.Is(err, errFindings):
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "policy:", err)
		os.Exit(2)
	}
}

// findChart says what to do where there is no chart to check the values with.
func findChart() error {
	dir, err := render.ChartDir()
	if err != nil {
		return fmt.Errorf("run this in a clone of the repository, or set %s to the folder of the chart: %w", render.ChartVariable, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "Chart.yaml")); err != nil {
		return fmt.Errorf("set %s to the folder of the chart: %w", render.ChartVariable, err)
	}
	return nil
}

func newCommand(out io.Writer) *cobra.Command {
	var given values.Options
	var minors []string
	var format string
	command := &cobra.Command{
		Use:           "policy -f my-values.yaml",
		Short:         "Check values of the redis-ha chart against its policies",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(*cobra.Command, []string) error {
			write, known := formats[format]
			if !known {
				return fmt.Errorf("there is no format %q: set -o to text, junit or sarif", format)
			}
			for _, minor := range minors {
				if !slices.Contains(render.KubeVersions, minor) {
					return fmt.Errorf("Kubernetes %q is not supported: set --kube-version to one of %s", minor, strings.Join(render.KubeVersions, ", "))
				}
			}
			if len(given.ValueFiles)+len(given.Values)+len(given.StringValues) == 0 {
				return errors.New("there are no values to check: name a file with -f my-values.yaml, or a value with --set key=value")
			}
			if err := findChart(); err != nil {
				return fmt.Errorf("find the chart: %w", err)
			}
			merged, err := given.MergeValues(getter.All(cli.New()))
			if err != nil {
				return fmt.Errorf("read the values: %w", err)
			}
			r, err := evaluate(merged, minors)
			if err != nil {
				return err
			}
			r.files = given.ValueFiles
			if err := write(out, r); err != nil {
				return fmt.Errorf("write the result: %w", err)
			}
			if r.findings() > 0 {
				return errFindings
			}
			return nil
		},
	}
	flags := command.Flags()
	flags.StringSliceVarP(&given.ValueFiles, "values", "f", nil, "file or URL with values, as for helm install; may be repeated, `-` is standard input")
	flags.StringArrayVar(&given.Values, "set", nil, "values on the command line, as for helm install; may be repeated")
	flags.StringArrayVar(&given.StringValues, "set-string", nil, "the same, always as text")
	flags.StringSliceVar(&minors, "kube-version", render.KubeVersions, "minor versions of Kubernetes")
	flags.StringVarP(&format, "output", "o", "text", "format: text, junit or sarif")
	return command
}
