{{/* redis-ha.directives: the directives that Redis 8.0 knows, apart from those of the launcher; also the old names and those that
it accepts without an effect. What is like one of them, and none, is a slip; other names are left to the image, which may have
another version, or Valkey. An end-to-end test compares them with redis-server. */}}
{{- define "redis-ha.directives" -}}
acl-pubsub-default acllog-max-len active-defrag-cycle-max active-defrag-cycle-min active-defrag-ignore-bytes
active-defrag-max-scan-fields active-defrag-threshold-lower active-defrag-threshold-upper active-expire-effort activedefrag
activerehashing always-show-logo aof-disable-auto-gc aof-load-truncated aof-rewrite-cpulist aof-rewrite-incremental-fsync
aof-timestamp-enabled aof-use-rdb-preamble appendfsync auto-aof-rewrite-min-size auto-aof-rewrite-percentage bgsave-cpulist
bio-cpulist busy-reply-threshold client-output-buffer-limit client-query-buffer-limit crash-log-enabled
crash-memcheck-enabled databases disable-thp dynamic-hz enable-debug-command enable-module-command enable-protected-configs
hash-max-listpack-entries hash-max-listpack-value hash-max-ziplist-entries hash-max-ziplist-value hide-user-data-from-log
hll-sparse-max-bytes hz ignore-warnings io-threads io-threads-do-reads jemalloc-bg-thread key-load-delay
latency-monitor-threshold latency-tracking latency-tracking-info-percentiles lazyfree-lazy-eviction lazyfree-lazy-expire
lazyfree-lazy-server-del lazyfree-lazy-user-del lazyfree-lazy-user-flush lfu-decay-time lfu-log-factor list-compress-depth
list-max-listpack-size list-max-ziplist-entries list-max-ziplist-size list-max-ziplist-value
loading-process-events-interval-bytes locale-collate loglevel lua-enable-deprecated-api lua-replicate-commands lua-time-limit
max-new-connections-per-cycle max-new-tls-connections-per-cycle maxclients maxmemory maxmemory-clients
maxmemory-eviction-tenacity maxmemory-policy maxmemory-samples no-appendfsync-on-rewrite notify-keyspace-events oom-score-adj
oom-score-adj-values proc-title-template propagation-error-behavior proto-max-bulk-len rdb-key-save-delay
rdb-save-incremental-fsync rdbchecksum rdbcompression repl-backlog-size repl-backlog-ttl repl-disable-tcp-nodelay
repl-diskless-load repl-diskless-sync repl-diskless-sync-delay repl-diskless-sync-max-replicas repl-ping-replica-period
repl-ping-slave-period repl-rdb-channel repl-timeout replica-full-sync-buffer-limit replica-ignore-disk-write-errors
replica-ignore-maxmemory replica-lazy-flush replica-serve-stale-data sanitize-dump-payload server-cpulist
set-max-intset-entries set-max-listpack-entries set-max-listpack-value set-proc-title shutdown-on-sigint shutdown-on-sigterm
shutdown-timeout slave-ignore-maxmemory slave-lazy-flush slave-serve-stale-data slowlog-log-slower-than slowlog-max-len
socket-mark-id stop-writes-on-bgsave-error stream-node-max-bytes stream-node-max-entries tcp-backlog tcp-keepalive timeout
tracking-table-max-keys use-exit-on-panic watchdog-period zset-max-listpack-entries zset-max-listpack-value
zset-max-ziplist-entries zset-max-ziplist-value
{{- end -}}

{{/* redis-ha.startDirectives: those that Redis takes only when it starts: CONFIG SET answers "can't set immutable config", or does not know
them. A change of one of them replaces the servers. Tests compare them with redis-server. */}}
{{- define "redis-ha.startDirectives" -}}
always-show-logo aof-rewrite-cpulist bgsave-cpulist bio-cpulist databases disable-thp enable-debug-command enable-module-command
enable-protected-configs io-threads io-threads-do-reads list-max-ziplist-entries list-max-ziplist-value lua-enable-deprecated-api
lua-replicate-commands rdbchecksum server-cpulist set-proc-title socket-mark-id tcp-backlog
{{- end -}}

{{/* redis-ha.nearest: the known words that differ from a word in one letter, in capitals, or in two neighbours that changed places.
Input: dict with the word, of letters, digits, "-" and "_", and the known words. */}}
{{- define "redis-ha.nearest" -}}
{{- $word := .word -}}
{{- $forms := list $word (printf ".%s" $word) -}}
{{- range $i := until (len $word) -}}
{{- $before := substr 0 $i $word -}}
{{- $after := substr (int (add1 $i)) (len $word) $word -}}
{{- $letter := substr $i (int (add1 $i)) $word -}}
{{- $forms = concat $forms (list (printf "%s.?%s" $before $after) (printf "%s%s.%s" $before $letter $after)) -}}
{{- if $after -}}
{{- $forms = append $forms (printf "%s%s%s%s" $before (trunc 1 $after) $letter (substr 1 (len $after) $after)) -}}
{{- end -}}
{{- end -}}
{{- regexFindAll (printf "(?mi)^(%s)$" (join "|" $forms)) (join "\n" .known) -1 | join " or " -}}
{{- end -}}
