package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/restore"
)

// restoreCommand needs the environment of a pod of the backup's CronJob.
func restoreCommand() *cobra.Command {
	var o restore.Options
	command := &cobra.Command{
		Use: "restore NAME", Args: cobra.ExactArgs(1),
		Short: `Replaces the data of the running release by those of a backup, or of the "latest" one, after asking`,
		RunE: func(cmd *cobra.Command, arguments []string) error {
			o.Backup, o.Terminal = arguments[0], terminal(os.Stdin)
			c, log, s, err := backupSettings()
			if err != nil {
				return err
			}
			if _, err := openCertificate(&c, log); err != nil {
				return err
			}
			api, err := kube.New(c, log)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return restore.New(c, api, s, o, cmd.InOrStdin(), cmd.OutOrStdout(), log).Run(ctx)
		},
	}
	command.Flags().BoolVar(&o.Yes, "yes", false, "ask nobody")
	command.Flags().BoolVar(&o.WithoutBackup, "without-backup", false, "do not back up the present data before: they are lost")
	return command
}

// terminal says whether somebody can answer at a file.
func terminal(file *os.File) bool {
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}
