package agent

import (
	"context"
	"time"
)

// askForBackups is how often a master reads which backup is the last good one. Backups are hours apart.
const askForBackups = 15 * time.Second

// tellBackups has the metrics of this pod tell the last good backup while this pod is the master. It returns when ctx ends.
func (s *Server) tellBackups(ctx context.Context) {
	ticker := time.NewTicker(askForBackups)
	defer ticker.Stop()
	told := ""
	for {
		told = s.tellBackup(ctx, told)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tellBackup reads the last good backup once. It logs an error that is not the one logged last, and gives the text of the error.
func (s *Server) tellBackup(ctx context.Context, told string) string {
	if !s.labels.WantsMaster() {
		s.metrics.forgetBackup()
		return ""
	}
	record, err := s.api.BackupRecord(ctx)
	switch {
	case err == nil:
		s.metrics.setBackup(record.Last)
		return ""
	case ctx.Err() == nil && err.Error() != told:
		s.log.Warn("which backup is the last good one could not be read; trying again", "error", err)
	}
	return err.Error()
}
