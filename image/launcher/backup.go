package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/redis-ha/redis-ha/image/launcher/internal/backup"
	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/store"
)

// backupCommand is what the CronJob runs, and what people ask of the backups. All of it needs the environment of a pod of that CronJob.
func backupCommand() *cobra.Command {
	command := &cobra.Command{
		Use: "backup", Args: cobra.NoArgs,
		Short: "Makes a backup of the data, and deletes those that are too old",
		RunE:  func(cmd *cobra.Command, _ []string) error { return makeBackup(cmd.Context()) },
	}
	command.AddCommand(
		&cobra.Command{Use: "list", Short: "Prints the backups, the newest first", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return listBackups(cmd) }},
		fetchCommand(),
	)
	return command
}

func fetchCommand() *cobra.Command {
	var path string
	command := &cobra.Command{
		Use: "fetch NAME", Args: cobra.ExactArgs(1),
		Short: `Writes the RDB file of a backup, or of the "latest" one, to a new file (private key of age in LAUNCHER_BACKUP_IDENTITY)`,
		RunE:  func(cmd *cobra.Command, arguments []string) error { return fetchBackup(cmd, arguments[0], path) },
	}
	command.Flags().StringVar(&path, "to", "", "the new file")
	if err := command.MarkFlagRequired("to"); err != nil {
		panic(err)
	}
	return command
}

// backupSettings reads the environment, and gives a log and the store of the backups.
func backupSettings() (config.Config, *slog.Logger, store.Store, error) {
	c, err := config.FromEnviron(os.Environ())
	if err == nil {
		err = c.CheckBackup()
	}
	if err != nil {
		return c, nil, nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: c.LogLevel}))
	s, err := backup.Open(c.Backup)
	return c, log, s, err
}

func makeBackup(ctx context.Context) error {
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
	maker, err := backup.NewMaker(c, api, s, log)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	log.Info("backup", "version", version, "pod", c.PodName, "to", s.String())
	return maker.Run(ctx)
}

func listBackups(cmd *cobra.Command) error {
	_, _, s, err := backupSettings()
	if err != nil {
		return err
	}
	return backup.List(cmd.Context(), s, time.Now(), cmd.OutOrStdout())
}

func fetchBackup(cmd *cobra.Command, name, path string) error {
	c, log, s, err := backupSettings()
	if err != nil {
		return err
	}
	m, err := backup.Fetch(cmd.Context(), s, name, c.Backup.Identity, path, log)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s has the data of backup %s, %d bytes of Redis %s\n", path, m.Name, m.RDB.Size, m.RedisVersion)
	return err
}
