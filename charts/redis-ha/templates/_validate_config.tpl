{{/* redis-ha.ownedDirectives: expression for the redis.conf directives that the launcher writes itself, or that would break
what the chart promises. */}}
{{- define "redis-ha.ownedDirectives" -}}
^(bind|bind-source-addr|port|protected-mode|unixsocket.*|tls-.+|cluster-.+|sentinel|dual-channel-replication-enabled|dir|dbfilename|save|append(only|dirname|filename)|requirepass|masterauth|masteruser|user|aclfile|rdb-del-sync-files|rename-command|replicaof|slaveof|(replica|slave)-(priority|announce.*|read-only)|min-(replicas|slaves)-.+|daemonize|supervised|pidfile|logfile|syslog-.+|include|loadmodule)$
{{- end -}}

{{/* redis-ha.memory: a size as redis.conf spells it in bytes, empty where it is none. Input: the size. */}}
{{- define "redis-ha.memory" -}}
{{- $size := include "redis-ha.configValue" . | lower | trimAll "\"" -}}
{{- if regexMatch "^[0-9]+([kmg]b?|b)?$" $size -}}
{{- $unit := regexFind "[a-z]*$" $size -}}
{{- $factors := dict "" 1 "b" 1 "k" 1000 "kb" 1024 "m" 1000000 "mb" 1048576 "g" 1000000000 "gb" 1073741824 -}}
{{- mulf (trimSuffix $unit $size | float64) (index $factors $unit) -}}
{{- end -}}
{{- end -}}

{{/* redis-ha.problems.config: entries of servers.config that the launcher owns, that would not stay one directive on one
line, or that contradict others. A value is plain words and words in double quotes. */}}
{{- define "redis-ha.problems.config" -}}
{{- $config := default dict .Values.servers.config }}
{{- include "redis-ha.problems.maxmemory" . }}
{{- $owned := include "redis-ha.ownedDirectives" . }}
{{- $takes := dict }}
{{- if $config }}
{{- $takes = include "redis-ha.directiveValues" . | fromYaml }}
{{- end }}
{{- $known := regexSplit "\\s+" (include "redis-ha.directives" .) -1 }}
{{- $plain := "[^\\s\\p{C}\\p{Z}\\x{FFFE}\\x{FFFF}\"'\\\\]" }}
{{- $word := printf "(%s+|\"( |'|%s)*\")" $plain $plain }}
{{- $words := printf "^(%s( %s)*)?$" $word $word }}
{{- range $directive, $value := $config }}
{{- $name := lower $directive }}
{{- if regexMatch $owned $name }}
{{- $instead := "remove it" }}
{{- if regexMatch "^min-.+-to-write$" $name }}
{{- $instead = "set servers.minReplicasToWrite" }}
{{- else if regexMatch "^min-.+-max-lag$" $name }}
{{- $instead = "set servers.minReplicasMaxLagSeconds" }}
{{- else if has $name (list "appendonly" "save") }}
{{- $instead = "set persistence.enabled" }}
{{- else if has $name (list "requirepass" "masterauth") }}
{{- $instead = "set auth, and redisPassword or existingSecret" }}
{{- end }}
servers.config: the launcher owns the directive {{ $directive }}; {{ $instead }}
{{- else if not (regexMatch "^[a-z][a-z0-9-]*$" $directive) }}
servers.config: {{ $directive | quote }} is not a directive; use lower-case letters, digits and "-"
{{- else if and (not (has $directive $known)) (le (len $directive) 50) }}
{{- with include "redis-ha.nearest" (dict "word" $directive "known" $known) }}
servers.config: {{ $directive }} is not a directive of Redis, which would not start; correct its name to {{ . }}
{{- end }}
{{- end }}
{{- $modern := regexReplaceAll "(^|-)slave(s?)(-|$)" $name "${1}replica${2}${3}" | replace "-ziplist-" "-listpack-" | replace "lua-time-limit" "busy-reply-threshold" }}
{{- if and (ne $modern $name) (hasKey $config $modern) }}
servers.config: {{ $directive }} and {{ $modern }} are one directive; remove {{ $directive }}
{{- end }}
{{- if and (kindIs "float64" $value) (or (ge $value 9007199254740992.0) (le $value -9007199254740992.0)) }}
servers.config: the value of {{ $directive | quote }} is a number too large to be kept exactly; put quotes around it
{{- else if not (regexMatch $words (toString $value)) }}
servers.config: the value of {{ $directive | quote }} is not a list of words with single spaces between them; put double quotes around a word with spaces, and use no line breaks, control characters or backslashes, and single quotes only inside double ones
{{- else }}
{{- include "redis-ha.problems.value" (dict "directive" $directive "value" $value "takes" (get $takes $directive)) }}
{{- end }}
{{- end }}
{{- end -}}
