{{/* redis-ha.amount: a quantity of Kubernetes as a number, to compare it with another. Input: the quantity. */}}
{{- define "redis-ha.amount" -}}
{{- $quantity := toString . -}}
{{- $unit := regexFind "[A-Za-z]*$" $quantity -}}
{{- $factors := dict "" 1.0 "m" 1e-3 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 -}}
{{- mulf (trimSuffix $unit $quantity | float64) (index $factors $unit) -}}
{{- end -}}

{{/* redis-ha.problems.sizes: requests and limits that no pod can have, or without which a full node ends Redis first. Input:
dict with the path of the resources and the resources. */}}
{{- define "redis-ha.problems.sizes" -}}
{{- $requests := default dict .resources.requests }}
{{- $limits := default dict .resources.limits }}
{{- range $field, $quantity := dict "requests.cpu" $requests.cpu "requests.memory" $requests.memory "limits.memory" $limits.memory }}
{{- if not (include "redis-ha.amount" (default 0 $quantity) | float64) }}
{{ $.path }}.{{ $field }}: is not set, so a full node starves these pods or ends them before others; set it to more than 0
{{- end }}
{{- end }}
{{- range $field, $quantity := dict "requests.memory" $requests.memory "limits.memory" $limits.memory }}
{{- $bytes := include "redis-ha.amount" (default 0 $quantity) | float64 }}
{{- if and (gt $bytes 0.0) (lt $bytes 67108864.0) }}
{{ $.path }}.{{ $field }}: {{ $quantity }} is less than a launcher and an empty Redis need; set at least 64Mi
{{- end }}
{{- end }}
{{- range $kind, $sizes := dict "requests" $requests "limits" $limits }}
{{- range $name, $quantity := $sizes }}
{{- if lt (include "redis-ha.amount" (default 0 $quantity) | float64) 0.0 }}
{{ $.path }}.{{ $kind }}.{{ $name }}: {{ $quantity }} is less than nothing; set it to more than 0
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $limit := $limits }}
{{- $request := get $requests $name }}
{{- if and $request (ge (include "redis-ha.amount" (default 0 $limit) | float64) 0.0) (gt (include "redis-ha.amount" $request | float64) (include "redis-ha.amount" $limit | float64)) }}
{{ $.path }}.requests.{{ $name }}, {{ $.path }}.limits.{{ $name }}: the request of {{ $request }} is above the limit of {{ $limit }}, no such pod would be created; set a limit of at least {{ $request }}
{{- end }}
{{- end }}
{{- end -}}

{{/* redis-ha.amounts: sizes of pods in a form that is equal for equal sizes, however they are spelled. Input: the resources. */}}
{{- define "redis-ha.amounts" -}}
{{- range $kind, $sizes := . }}{{ range $name, $quantity := $sizes }}{{ if not (kindIs "invalid" $quantity) }}{{ $kind }}.{{ $name }}={{ include "redis-ha.amount" $quantity }} {{ end }}{{ end }}{{ end -}}
{{- end -}}

{{/* redis-ha.problems.resources: sizes that cannot be, and sizes of master and slave that differ, although any server pod may
become master. */}}
{{- define "redis-ha.problems.resources" -}}
{{- $part := ternary "master" (ternary "slave" "server" (not (empty .Values.resources.slave))) (not (empty .Values.resources.master)) }}
{{ include "redis-ha.problems.sizes" (dict "path" (printf "resources.%s" $part) "resources" (include "redis-ha.serverResources" . | fromYaml)) }}
{{ include "redis-ha.problems.sizes" (dict "path" "resources.sentinel" "resources" (default dict .Values.resources.sentinel)) }}
{{- $of := default dict .Values.resources.server }}
{{- $server := include "redis-ha.amounts" $of }}
{{- $master := include "redis-ha.amounts" (mergeOverwrite (deepCopy $of) (deepCopy (default dict .Values.resources.master))) }}
{{- $slave := include "redis-ha.amounts" (mergeOverwrite (deepCopy $of) (deepCopy (default dict .Values.resources.slave))) }}
{{- $default := include "redis-ha.defaultServerResources" . | fromYaml | include "redis-ha.amounts" }}
{{- if and .Values.resources.master .Values.resources.slave (ne $master $slave) }}
resources.master, resources.slave: they differ, but any server pod may become master; set both alike, or only resources.server
{{- else if ne $server $default }}
{{- if and .Values.resources.master (ne $master $server) }}
resources.master: differs from resources.server, but any server pod may become master; set only resources.server
{{- end }}
{{- if and .Values.resources.slave (ne $slave $server) }}
resources.slave: differs from resources.server, but any server pod may become master; set only resources.server
{{- end }}
{{- end }}
{{- end -}}

{{/* redis-ha.problems.lag: a lag of slaves at which the master would have given them up. It does that for a sixth of the memory limit
(ReplicaBuffer in the launcher's package config); a tenth leaves time to let writes wait. */}}
{{- define "redis-ha.problems.lag" -}}
{{- $limit := ((include "redis-ha.serverResources" . | fromYaml).limits).memory }}
{{- $lag := include "redis-ha.amount" (default 0 .Values.servers.maxReplicationLag) | float64 }}
{{- $most := divf (include "redis-ha.amount" (default 0 $limit) | float64) 10.0 }}
{{- if and $limit (gt $lag $most) }}
servers.maxReplicationLag: {{ include "redis-ha.configValue" .Values.servers.maxReplicationLag }} is more than a tenth of the memory limit of a server pod ({{ $limit }}), and the master would give its slaves up before writes wait for them; set at most {{ divf $most 1048576.0 | floor | int64 }}Mi, or a limit of at least {{ divf $lag 104857.6 | ceil | int64 }}Mi
{{- end }}
{{- end -}}

{{/* redis-ha.problems.percent: a share of the memory limit that leaves no room for data. The backlog takes a sixteenth of the limit
(Backlog in the launcher's package redisconf), and Redis counts it as part of maxmemory. The schema refuses more than three quarters, as
redis-ha.problems.maxmemory does. */}}
{{- define "redis-ha.problems.percent" -}}
{{- $percent := int .Values.servers.maxmemoryPercent }}
{{- if and (gt $percent 0) (lt $percent 10) }}
servers.maxmemoryPercent: {{ $percent }} leaves no room for data beside the replication backlog, which takes a sixteenth of the memory limit; set 10 to 75, or 0 for no bound
{{- end }}
{{- end -}}

{{/* redis-ha.problems.volumes: volumes that the API server refuses, or that fill up whatever the data are. The least size is
twice the 64 MB at which Redis rewrites its append-only file for the first time (auto-aof-rewrite-min-size): file and rewrite are on the
volume together. */}}
{{- define "redis-ha.problems.volumes" -}}
{{- if and .Values.persistence.enabled (lt (include "redis-ha.amount" .Values.persistence.size | float64) 134217728.0) }}
persistence.size: {{ .Values.persistence.size | quote }} is no room for an append-only file, which grows to 64 MB before Redis rewrites it, and for the rewrite beside it; set at least 128Mi, and twice the data set
{{- end }}
{{- if and (not .Values.persistence.enabled) (eq .Values.servers.workload "StatefulSet") }}
servers.workload: a StatefulSet keeps volumes, and persistence.enabled is false, so the servers have no volumes; set persistence.enabled to true, or servers.workload to Deployment
{{- end }}
{{- if and (has "ReadWriteOncePod" .Values.persistence.accessModes) (gt (len .Values.persistence.accessModes) 1) }}
persistence.accessModes: ReadWriteOncePod goes with no other mode; set it alone, or remove it
{{- end }}
{{- end -}}
