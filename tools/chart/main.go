// Command chart packages the chart, and runs chart-testing on it with what can
// be compared in this clone. Run it in the folder tools.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/redis-ha/redis-ha/tools/chart/internal/pack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := rootCommand("..").ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error: "+err.Error())
		os.Exit(1)
	}
}

// rootCommand is the program for the repository in a folder.
func rootCommand(repository string) *cobra.Command {
	root := &cobra.Command{Use: "chart", Short: "The road the chart travels", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(packageCommand(repository), lintCommand(repository), installCommand(repository))
	return root
}

func packageCommand(repository string) *cobra.Command {
	request := pack.Repository{Chart: filepath.Join(repository, "charts", "redis-ha")}
	command := &cobra.Command{
		Use:   "package",
		Short: "Make the chart's archive and the index of the chart repository",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			archive, err := request.Make()
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), archive)
			}
			return err
		},
	}
	flags := command.Flags()
	flags.StringVar(&request.Destination, "destination", filepath.Join(repository, ".cache", "charts"), "folder of the chart repository")
	flags.StringVar(&request.Image, "image", "", "default image of the packaged chart (default that of values.yaml)")
	flags.StringVar(&request.Version, "version", "", "fail unless the chart has this version")
	flags.StringVar(&request.URL, "url", "", "address that the archive will have, without its name (default beside the index)")
	flags.StringVar(&request.Index, "index", "", "index.yaml with earlier versions to keep")
	flags.StringVar(&request.Key.Name, "key", "", "sign with the key whose user id contains this")
	flags.StringVar(&request.Key.Keyring, "keyring", "", "file with the private key, as gpg --export-secret-keys writes it")
	flags.StringVar(&request.Key.PassphraseFile, "passphrase-file", "", "file with the passphrase of the key")
	return command
}
