{{/* redis-ha.directiveValues: what Redis 8.0 and Valkey 8 take as the value of a directive that people set: words, "number" and its
bounds, "size" and the least of it, "share" for a size or a percentage. With another value redis-server does not start. Other
directives are left to it. The bounds are those of config.c in Redis. */}}
{{- define "redis-ha.directiveValues" -}}
activedefrag: &switch yes no
activerehashing: *switch
active-expire-effort: number 1 10
aof-load-truncated: *switch
aof-use-rdb-preamble: *switch
appendfsync: always everysec no
auto-aof-rewrite-min-size: size 0
auto-aof-rewrite-percentage: &int number 0 2147483647
busy-reply-threshold: &long number 0 9223372036854775807
client-query-buffer-limit: &mebibyte size 1048576
databases: number 1 2147483647
dynamic-hz: *switch
hz: *int
io-threads: number 1 128
latency-monitor-threshold: *long
lazyfree-lazy-eviction: *switch
lazyfree-lazy-expire: *switch
lazyfree-lazy-server-del: *switch
lazyfree-lazy-user-del: *switch
lazyfree-lazy-user-flush: *switch
lfu-decay-time: *int
lfu-log-factor: *int
loglevel: debug verbose notice warning nothing
maxclients: number 1 4294967295
maxmemory: size 0
maxmemory-clients: share
maxmemory-eviction-tenacity: number 0 100
maxmemory-policy: noeviction allkeys-lru allkeys-lfu allkeys-random volatile-lru volatile-lfu volatile-random volatile-ttl
maxmemory-samples: number 1 64
no-appendfsync-on-rewrite: *switch
proto-max-bulk-len: *mebibyte
rdbchecksum: *switch
rdbcompression: *switch
repl-backlog-size: size 1
repl-backlog-ttl: *long
repl-disable-tcp-nodelay: *switch
repl-diskless-sync: *switch
repl-diskless-sync-delay: *int
repl-timeout: number 1 2147483647
replica-lazy-flush: *switch
replica-serve-stale-data: *switch
slowlog-log-slower-than: number -1 9223372036854775807
slowlog-max-len: *long
stop-writes-on-bgsave-error: *switch
tcp-backlog: *int
tcp-keepalive: *int
timeout: *int
{{- end -}}

{{/* redis-ha.problems.value: a value with which redis-server would not start. Input: dict with directive, value, and what
redis-ha.directiveValues says of the directive, empty if nothing. */}}
{{- define "redis-ha.problems.value" -}}
{{- $takes := splitList " " .takes }}
{{- $kind := first $takes }}
{{- $text := include "redis-ha.configValue" .value | trimAll "\"" | lower }}
{{- $size := include "redis-ha.memory" .value }}
{{- if not $kind }}
{{- else if eq $kind "number" }}
{{- if or (not (regexMatch "^(0|-?[1-9][0-9]{0,18})$" $text)) (lt (float64 $text) (float64 (index $takes 1))) (gt (float64 $text) (float64 (index $takes 2))) }}
servers.config: {{ .directive }} is {{ quote $text }}, and Redis would not start; set a whole number from {{ index $takes 1 }} to {{ index $takes 2 }}
{{- end }}
{{- else if eq $kind "size" }}
{{- if or (not $size) (lt (float64 $size) (float64 (index $takes 1))) }}
servers.config: {{ .directive }} is {{ quote $text }}, and Redis would not start; set a size{{ ternary "" (printf " of at least %s bytes," (index $takes 1)) (eq (index $takes 1) "0") }} such as 100mb{{ ternary ", as Redis takes no share of the memory" "" (contains "%" $text) }}
{{- end }}
{{- else if eq $kind "share" }}
{{- if not (or $size (regexMatch "^([0-9]{1,2}|100)%$" $text)) }}
servers.config: {{ .directive }} is {{ quote $text }}, and Redis would not start; set a size such as 10mb, or a share of maxmemory such as 5%
{{- end }}
{{- else if not (has $text $takes) }}
servers.config: {{ .directive }} is {{ quote $text }}, and Redis would not start; set one of {{ join ", " $takes }}
{{- end }}
{{- end -}}

{{/* redis-ha.problems.maxmemory: more data than a pod has memory for. The quarter of the limit that maxmemory has to leave is for what
Redis does not count: pages that change while a rewrite or a copy for a slave runs, buffers of slaves, fragmentation, and the launcher.
Amazon ElastiCache reserves as much by default (reserved-memory-percent, 25). */}}
{{- define "redis-ha.problems.maxmemory" -}}
{{- $limit := ((include "redis-ha.serverResources" . | fromYaml).limits).memory }}
{{- with (.Values.servers.config).maxmemory }}
{{- $size := include "redis-ha.memory" . | float64 }}
{{- $most := mulf 0.75 (include "redis-ha.amount" (default 0 $limit) | float64) }}
{{- if and $limit (gt $size $most) }}
servers.config: maxmemory {{ include "redis-ha.configValue" . }} is more than three quarters of the memory limit of a server pod ({{ $limit }}), and a copy for a slave or a rewrite of the append-only file would have the pod killed; set at most {{ divf $most 1048576.0 | floor | int64 }}mb, or a limit of at least {{ divf $size 786432.0 | ceil | int64 }}Mi
{{- end }}
{{- end }}
{{- end -}}
