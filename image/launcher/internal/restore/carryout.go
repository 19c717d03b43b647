package restore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/backup"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/restoration"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

const (
	// beginTime is how long a server may need to find the order: its launcher looks every 5 s.
	beginTime = time.Minute
	// takeTime is how long a server may take over: three attempts of a few seconds.
	takeTime = 30 * time.Second
	// verdictTime is how long the release may need to agree on a master after a takeover whose end is not known. An election may wait for a minute for
	// the recorded server.
	verdictTime = 3 * time.Minute
	// followTime is how long the other servers may need for their copies before the command ends nevertheless.
	followTime = 10 * time.Minute
	// stopTime is how long a server has to hear that it is to stop.
	stopTime = 3 * time.Second
	// lookEvery is the time between two looks.
	lookEvery = 200 * time.Millisecond
)

// carryOut has the chosen server load the backup and take over.
func (r *Restorer) carryOut(ctx context.Context, alone *backup.Alone, giver *restoration.Giver, f findings) error {
	order := kube.Restoration{Backup: f.manifest.Name, Server: f.chosen.pod.UID, URL: giver.URL, Size: f.manifest.RDB.Size, SHA256: f.manifest.RDB.SHA256}
	if err := alone.Order(ctx, &order); err != nil {
		return errors.Join(err, ErrNothingChanged)
	}
	told, err := r.awaitStage(ctx, giver, f, restoration.Loaded, beginTime)
	if err == nil {
		r.say("%s has loaded the backup: %d keys", f.chosen.pod.Name, told.Keys)
		if had := f.manifest.Keys; had != nil && told.Keys < *had {
			r.say("note: the backup has %d keys more: they have expired, or maxmemory-policy has evicted them", *had-told.Keys)
		}
		err = alone.Order(ctx, nil) // it must not be carried out again, whoever starts anew
	}
	if err == nil {
		err = r.unchanged(ctx, f)
	}
	if err != nil {
		r.stop(ctx, alone, giver)
		return errors.Join(err, ErrNothingChanged)
	}
	giver.Go()
	told, err = r.awaitStage(ctx, giver, f, restoration.Done, takeTime)
	if err != nil {
		giver.Stop()
		return r.verdict(context.WithoutCancel(ctx), giver, f, err)
	}
	r.say("%s is master with the data of backup %s, as generation %d", f.chosen.pod.Name, f.manifest.Name, told.Generation)
	return r.awaitFollowers(ctx, f)
}

// stop has the server give up, and takes the order back.
func (r *Restorer) stop(ctx context.Context, alone *backup.Alone, giver *restoration.Giver) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	giver.Stop()
	if err := alone.Order(ctx, nil); err != nil {
		r.log.Warn("the order could not be taken back; it ends with this command", "error", err)
	}
	if told, _ := giver.Last(); told.Stage != "" && told.Stage != restoration.Failed {
		<-ctx.Done() // the server hears it with its next word
	}
}

// awaitStage waits until the server has reached a stage, and tells each stage. limit is how long the server may need to begin, or to take
// over.
func (r *Restorer) awaitStage(ctx context.Context, giver *restoration.Giver, f findings, wanted restoration.Stage, limit time.Duration) (restoration.Told, error) {
	var stage restoration.Stage
	if wanted == restoration.Done {
		stage = restoration.Loaded // it was told already
	}
	for began := time.Now(); ; {
		told, ago := giver.Last()
		if told.Stage != stage && told.Stage != restoration.Failed {
			stage = told.Stage
			r.say("%s: %s", f.chosen.pod.Name, stage)
		}
		switch {
		case told.Stage == restoration.Failed:
			return told, fmt.Errorf("%s has given up: %s", f.chosen.pod.Name, told.Reason)
		case told.Stage == wanted:
			return told, nil
		case stage == "" && time.Since(began) > limit:
			return told, fmt.Errorf("%s has not found the order within %v; see its log", f.chosen.pod.Name, limit)
		case wanted == restoration.Done && time.Since(began) > limit:
			return told, fmt.Errorf("%s has not taken over within %v; see its log", f.chosen.pod.Name, limit)
		case ago > restoration.Silence:
			return told, fmt.Errorf("%s has said nothing for %v, since it was %s; see its log", f.chosen.pod.Name, restoration.Silence, stage)
		}
		select {
		case <-ctx.Done():
			return told, context.Cause(ctx)
		case <-time.After(lookEvery):
		}
	}
}

// unchanged makes sure that the release still has the master whose data the user wants to replace.
func (r *Restorer) unchanged(ctx context.Context, f findings) error {
	now, err := r.api.Record(ctx)
	if err != nil {
		return err
	}
	if now.Master.UID != f.record.Master.UID || now.Generation != f.record.Generation {
		return fmt.Errorf("the master has changed meanwhile, from %s to %s: begin again", f.record.Master.Name, now.Master.Name)
	}
	return nil
}

// verdict finds out which data the release has after a takeover that was not seen to end. The record tells: a master with the old data clears
// the name of the backup when it writes itself into the record again. So does a server that has just got a copy of the data of the backup and does
// not know it yet; its replication history tells that it does not go on with the data of the former master. A server that stood still may take over as long as its word counts.
func (r *Restorer) verdict(ctx context.Context, giver *restoration.Giver, f findings, cause error) error {
	ctx, cancel := context.WithTimeout(ctx, verdictTime)
	defer cancel()
	last := "the record cannot be read"
	for {
		now, err := r.api.Record(ctx)
		switch {
		case err != nil:
		case now.Restored == f.manifest.Name && now.RestoredIn > f.record.Generation:
			last = fmt.Sprintf("the record names %s with the data of the backup, and it does not serve yet", now.Master.Name)
			if _, ok := r.serving(ctx, now.Master.UID); ok {
				r.say("%s is master with the data of backup %s, as generation %d", now.Master.Name, f.manifest.Name, now.Generation)
				return r.awaitFollowers(ctx, f)
			}
		case now.Fence == nil && time.Now().After(giver.WordEnds().Add(record.CarrierTime)):
			last = fmt.Sprintf("the record names %s, and it does not serve yet", now.Master.Name)
			master, ok := r.serving(ctx, now.Master.UID)
			switch {
			case !ok:
			case continues(master.info, f.master.info.ReplID):
				return errors.Join(cause, ErrNothingChanged)
			case continuesAny(master.info):
				r.say("%s is master with the data of backup %s; the record does not tell so", now.Master.Name, f.manifest.Name)
				return nil
			default:
				last = fmt.Sprintf("%s is master, and its replication history does not tell where its data come from", now.Master.Name)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; whether the backup has replaced the data is not known yet (%s): launcher status tells it", cause, last)
		case <-time.After(lookEvery):
		}
	}
}

// continues says whether a Redis goes on with a replication history.
func continues(info redisnode.Info, history string) bool {
	return info.ReplID == history || info.ReplID2 == history
}

// continuesAny says whether a Redis goes on with the history of another one, as a replica does that was promoted. A Redis that has just started does not.
func continuesAny(info redisnode.Info) bool {
	return strings.Trim(info.ReplID2, "0") != ""
}

// serving gives the server of a pod. ok says whether the pod is labelled master and its Redis agrees.
func (r *Restorer) serving(ctx context.Context, uid string) (s server, ok bool) {
	servers, err := r.servers(ctx)
	for _, s := range servers {
		if s.pod.UID == uid {
			return s, err == nil && s.err == nil && s.info.Master && s.pod.Role == role.Master
		}
	}
	return server{}, false
}

// awaitFollowers waits until all servers have the data. The data have been replaced, so a server without a copy is told and is no error. The error says
// that the only server with the data was lost.
func (r *Restorer) awaitFollowers(ctx context.Context, f findings) error {
	ctx, cancel := context.WithTimeout(ctx, followTime)
	defer cancel()
	for {
		if now, err := r.api.Record(ctx); err == nil && now.Restored != f.manifest.Name {
			return fmt.Errorf("%s was lost before another server had the data of the backup: the release goes on with the former data, and %s is master", f.chosen.pod.Name, now.Master.Name)
		}
		servers, err := r.servers(ctx)
		behind := 0
		for _, s := range servers {
			if s.err != nil || s.info.Loading || !s.info.Master && !s.info.LinkUp || s.info.ReplID == f.master.info.ReplID {
				behind++
			}
		}
		if err == nil && behind == 0 && len(servers) > 0 {
			r.say("all %d servers have the data of the backup", len(servers))
			return nil
		}
		select {
		case <-ctx.Done():
			r.say("not all servers have the data yet: those without them refuse reads; look at launcher status")
			return nil
		case <-time.After(lookEvery):
		}
	}
}
