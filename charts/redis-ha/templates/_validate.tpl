{{/* redis-ha.validate: stops the rendering with all problems of the values at once, one line each: value path, what is
wrong, what to set. Renders nothing. Input: the root context. */}}
{{- define "redis-ha.validate" -}}
{{- $problems := list -}}
{{- range splitList "\n" (include "redis-ha.problems" .) -}}
{{- if trim . -}}
{{- $problems = append $problems (trim . | printf "  %s") -}}
{{- end -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n\nThese values cannot give a working redis-ha, nothing was changed:\n%s\n" (join "\n" $problems)) -}}
{{- end -}}
{{- end -}}

{{/* redis-ha.problems: one line for each problem, empty if there is none. Input: the root context. */}}
{{- define "redis-ha.problems" -}}
{{ include "redis-ha.problems.names" . }}
{{ include "redis-ha.problems.image" . }}
{{ include "redis-ha.problems.replicas" . }}
{{ include "redis-ha.problems.resources" . }}
{{ include "redis-ha.problems.config" . }}
{{ include "redis-ha.problems.access" . }}
{{ include "redis-ha.problems.entries" . }}
{{ include "redis-ha.problems.tolerations" . }}
{{ include "redis-ha.problems.selectors" . }}
{{- end -}}

{{/* redis-ha.problems.names: names that Kubernetes would refuse or that would be cut. The longest suffix of an object name
is "-master-svc" (11 characters), the longest of a label "-sentinel-svc" (13); both must fit in 63. */}}
{{- define "redis-ha.problems.names" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" $name) }}
nameOverride: {{ $name | quote }} is not a DNS label; use lower-case letters, digits and "-"
{{- end }}
{{- if gt (len $name) 50 }}
nameOverride: {{ len $name }} characters are too long; use at most 50
{{- end }}
{{- $fullname := default (printf "%s-%s" .Release.Name $name) .Values.fullnameOverride }}
{{- $path := ternary "fullnameOverride" "release name" (not (empty .Values.fullnameOverride)) }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $fullname) }}
{{ $path }}: the full name {{ $fullname | quote }} cannot name a Service; set fullnameOverride to lower-case letters, digits and "-", with a letter first
{{- end }}
{{- if gt (len $fullname) 52 }}
{{ $path }}: the full name {{ $fullname | quote }} has {{ len $fullname }} characters, with "-master-svc" more than 63; set fullnameOverride to at most 52 characters
{{- end }}
{{- end -}}

{{/* redis-ha.problems.image: an image that is another one tomorrow. */}}
{{- define "redis-ha.problems.image" -}}
{{- $image := .Values.redis_image }}
{{- if not (regexMatch "^[^\\s:@]\\S*(:\\w[\\w.-]{0,127}|@sha256:[0-9a-f]{64})$" $image) }}
redis_image: {{ $image | quote }} has neither a tag nor a digest, so a pod that is replaced may run another version than its peers; add one, such as {{ .Chart.Name }}:{{ .Chart.AppVersion }}
{{- else if hasSuffix ":latest" $image }}
redis_image: {{ $image | quote }} is another image with every release, so a pod that is replaced may run another version than its peers; set a tag such as {{ .Chart.Name }}:{{ .Chart.AppVersion }}
{{- end }}
{{- end -}}

{{/* redis-ha.range: the legal numbers of a message, "2 to 3" or "2". Input: list of the lowest and the highest. */}}
{{- define "redis-ha.range" -}}
{{- index . 0 -}}
{{- if gt (int (index . 1)) (int (index . 0)) }} to {{ index . 1 }}{{ end -}}
{{- end -}}

{{/* redis-ha.problems.replicas: numbers of pods, quorum and min-replicas that contradict each other. */}}
{{- define "redis-ha.problems.replicas" -}}
{{- $servers := int .Values.replicas.servers }}
{{- $sentinels := int .Values.replicas.sentinels }}
{{- if lt $servers 1 }}
replicas.servers: {{ $servers }} leaves no Redis, and the volumes go away with their pods; set at least 1, or 3 to survive the loss of one
{{- end }}
{{- if lt $sentinels 1 }}
replicas.sentinels: {{ $sentinels }} leaves nobody to notice a failure; set 1 or 3
{{- else if eq (mod $sentinels 2) 0 }}
replicas.sentinels: {{ $sentinels }} is even, which survives no more failures than {{ sub $sentinels 1 }} and can split in halves; set {{ sub $sentinels 1 }} or {{ add1 $sentinels }}
{{- end }}
{{- $majority := int (include "redis-ha.majority" .) }}
{{- if not (kindIs "invalid" .Values.sentinel.quorum) }}
{{- $quorum := int .Values.sentinel.quorum }}
{{- $most := ternary $sentinels (sub $sentinels 1 | int) (le $sentinels 1) }}
{{- $instead := printf "set %s, or remove it for the majority" (include "redis-ha.range" (list $majority $most)) }}
{{- if lt $sentinels 1 }}
{{- else if gt $quorum $sentinels }}
sentinel.quorum: {{ $quorum }} is more than the {{ $sentinels }} of replicas.sentinels, no failover would ever start; {{ $instead }}
{{- else if gt $quorum $most }}
sentinel.quorum: {{ $quorum }} is every one of the {{ $sentinels }} of replicas.sentinels, no failover would start while one of them is drained or restarts; {{ $instead }}
{{- else if lt $quorum $majority }}
sentinel.quorum: {{ $quorum }} is less than the majority of {{ $sentinels }} sentinels, a minority could call the master down; {{ $instead }}
{{- end }}
{{- end }}
{{- if not (kindIs "invalid" .Values.servers.minReplicasToWrite) }}
{{- $min := int .Values.servers.minReplicasToWrite }}
{{- if and (ge $servers 1) (ge $min $servers) }}
servers.minReplicasToWrite: {{ $min }} slaves cannot be connected with {{ $servers }} in replicas.servers, no write would ever be accepted; set {{ include "redis-ha.range" (list 0 (sub $servers 1)) }}, or replicas.servers to {{ add1 $min }}
{{- end }}
{{- end }}
{{- if eq (toString .Values.servers.workload) "StatefulSet" }}
servers.workload: StatefulSet is not available in this version; set Deployment, which gives every server pod a volume of its own
{{- end }}
{{- end -}}

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
{{- range $name, $limit := $limits }}
{{- $request := get $requests $name }}
{{- if and $request (gt (include "redis-ha.amount" $request | float64) (include "redis-ha.amount" $limit | float64)) }}
{{ $.path }}.requests.{{ $name }}, {{ $.path }}.limits.{{ $name }}: the request of {{ $request }} is above the limit of {{ $limit }}, no such pod would be created; set a limit of at least {{ $request }}
{{- end }}
{{- end }}
{{- end -}}

{{/* redis-ha.problems.resources: sizes that cannot be, and sizes of master and slave that differ, although any server pod may
become master. */}}
{{- define "redis-ha.problems.resources" -}}
{{- $part := ternary "master" (ternary "slave" "server" (not (empty .Values.resources.slave))) (not (empty .Values.resources.master)) }}
{{ include "redis-ha.problems.sizes" (dict "path" (printf "resources.%s" $part) "resources" (include "redis-ha.serverResources" . | fromYaml)) }}
{{ include "redis-ha.problems.sizes" (dict "path" "resources.sentinel" "resources" (default dict .Values.resources.sentinel)) }}
{{- $server := default dict .Values.resources.server }}
{{- $master := mergeOverwrite (deepCopy $server) (deepCopy (default dict .Values.resources.master)) }}
{{- $slave := mergeOverwrite (deepCopy $server) (deepCopy (default dict .Values.resources.slave)) }}
{{- $default := include "redis-ha.defaultServerResources" . | fromYaml }}
{{- if and .Values.resources.master .Values.resources.slave (ne (toJson $master) (toJson $slave)) }}
resources.master, resources.slave: they differ, but any server pod may become master; set both alike, or only resources.server
{{- else if ne (toJson $server) (toJson $default) }}
{{- if and .Values.resources.master (ne (toJson $master) (toJson $server)) }}
resources.master: differs from resources.server, but any server pod may become master; set only resources.server
{{- end }}
{{- if and .Values.resources.slave (ne (toJson $slave) (toJson $server)) }}
resources.slave: differs from resources.server, but any server pod may become master; set only resources.server
{{- end }}
{{- end }}
{{- end -}}

{{/* redis-ha.ownedDirectives: expression for the redis.conf directives that the launcher writes itself, or that would break
what the chart promises. */}}
{{- define "redis-ha.ownedDirectives" -}}
^(bind|port|protected-mode|unixsocket.*|tls-.+|cluster-.+|sentinel|dir|dbfilename|save|append(only|dirname|filename)|requirepass|masterauth|masteruser|user|aclfile|rename-command|replicaof|slaveof|(replica|slave)-(priority|announce.*|read-only)|min-(replicas|slaves)-.+|daemonize|supervised|pidfile|logfile|syslog-.+|include|loadmodule)$
{{- end -}}

{{/* redis-ha.problems.config: entries of servers.config that the launcher owns or that would not stay one directive on one
line. A value is plain words and words in double quotes. */}}
{{- define "redis-ha.problems.config" -}}
{{- $owned := include "redis-ha.ownedDirectives" . }}
{{- $plain := "[^\\s\\p{C}\\p{Z}\\x{FFFE}\\x{FFFF}\"'\\\\]" }}
{{- $word := printf "(%s+|\"( |'|%s)*\")" $plain $plain }}
{{- $words := printf "^(%s( %s)*)?$" $word $word }}
{{- range $directive, $value := .Values.servers.config }}
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
{{- end }}
{{- if not (regexMatch $words (toString $value)) }}
servers.config: the value of {{ $directive | quote }} is not a list of words with single spaces between them; put double quotes around a word with spaces, and use no line breaks, control characters or backslashes, and single quotes only inside double ones
{{- end }}
{{- end }}
{{- end -}}

{{/* redis-ha.problems.access: passwords, service accounts and addresses that contradict each other. Never prints a password. */}}
{{- define "redis-ha.problems.access" -}}
{{- $password := toString (default "" .Values.redisPassword) }}
{{- if and $password .Values.existingSecret }}
redisPassword, existingSecret: both are set; set one of them
{{- end }}
{{- if and $password (not .Values.auth) }}
redisPassword: has no effect while auth is false; set auth to true, or remove redisPassword
{{- end }}
{{- if and .Values.existingSecret (not .Values.auth) }}
existingSecret: has no effect while auth is false; set auth to true, or remove existingSecret
{{- end }}
{{- if regexMatch "\\p{Cc}" $password }}
redisPassword: contains a control character such as a line break; use printable characters (mind a newline at the end of a file)
{{- end }}
{{- if gt (len $password) 512 }}
redisPassword: {{ len $password }} bytes are too long; use at most 512
{{- end }}
{{- if and (not .Values.rbac.create) (not .Values.serviceAccount.name) }}
rbac.create: false leaves the pods without the rights they need; set serviceAccount.name to an account that has them, or rbac.create to true
{{- end }}
{{- if and (.Values.networkPolicy).clients (not .Values.networkPolicy.enabled) }}
networkPolicy.clients: keeps nobody out while networkPolicy.enabled is false; set that to true, or remove the clients
{{- end }}
{{- $webhook := .Values.notifications.webhook }}
{{- if and $webhook.url $webhook.existingSecret }}
notifications.webhook.url, notifications.webhook.existingSecret: both are set; set one of them
{{- end }}
{{- if and (ne $webhook.key "url") (not $webhook.existingSecret) }}
notifications.webhook.key: has no effect without notifications.webhook.existingSecret; set that to the Secret with this key, or remove the key
{{- end }}
{{- if $webhook.url }}
{{- if not (regexMatch "^https?://[!-.0-~][!-~]*$" $webhook.url) }}
notifications.webhook.url: is not an http or https address; set one such as https://example.com/redis
{{- else if regexMatch "^https?://[^/?#]*@" $webhook.url }}
notifications.webhook.url: contains credentials, which would be readable in the Deployment; put the address into a Secret and set notifications.webhook.existingSecret
{{- end }}
{{- end }}
{{- end -}}

{{/* redis-ha.problems.entries: names that Kubernetes refuses, and texts that YAML cannot carry: for these Helm would drop all
annotations without a word. */}}
{{- define "redis-ha.problems.entries" -}}
{{- range $path, $entries := dict "servers.annotations" .Values.servers.annotations "podAnnotations" .Values.podAnnotations "nodeSelector" .Values.nodeSelector }}
{{- range $key, $text := $entries }}
{{- if not (regexMatch "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$" (ternary $key (lower $key) (eq $path "nodeSelector"))) }}
{{ $path }}: {{ $key | quote }} is not a name Kubernetes takes; use letters, digits, "-", "_" and ".", with a domain and "/" before it if needed
{{- end }}
{{- if regexMatch "[^\\t\\n\\r\\x{20}-\\x{7E}\\x{A0}-\\x{D7FF}\\x{E000}-\\x{FFFD}\\x{10000}-\\x{10FFFF}]" (toString $text) }}
{{ $path }}: the value of {{ $key | quote }} contains a control character; use printable characters, tabs and line breaks
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* redis-ha.problems.tolerations: tolerations that no pod may have. */}}
{{- define "redis-ha.problems.tolerations" -}}
{{- range .Values.tolerations }}
{{- $operator := default "Equal" .operator }}
{{- if and (not .key) (ne $operator "Exists") }}
tolerations[].key: is not set, so there is no taint to compare with; set it, or set operator to Exists to tolerate every taint
{{- end }}
{{- if and .value (eq $operator "Exists") }}
tolerations[].value: {{ .value | quote }} is not compared by the operator Exists; remove it, or set operator to Equal
{{- end }}
{{- if and (hasKey . "tolerationSeconds") (ne (default "" .effect) "NoExecute") }}
tolerations[].tolerationSeconds: {{ .tolerationSeconds }} seconds need a taint that evicts; set effect to NoExecute, or remove the seconds
{{- end }}
{{- end }}
{{- end -}}

{{/* redis-ha.prefixBits: the bits of an address range that all its addresses have in common, after the length of an
address. Input: the range in CIDR notation. */}}
{{- define "redis-ha.prefixBits" -}}
{{- $parts := splitList "/" . -}}
{{- $bits := "" -}}
{{- if contains ":" (first $parts) -}}
{{- $halves := splitList "::" (first $parts) -}}
{{- $left := without (splitList ":" (first $halves)) "" -}}
{{- $right := ternary (without (splitList ":" (last $halves)) "") list (eq (len $halves) 2) -}}
{{- range concat $left (until (int (sub (sub 8 (len $left)) (len $right)))) $right -}}
{{- $bits = printf "%s%016b" $bits (ternary (int64 (printf "0x%v" .)) 0 (kindIs "string" .)) -}}
{{- end -}}
{{- else -}}
{{- range splitList "." (first $parts) -}}{{- $bits = printf "%s%08b" $bits (int64 .) -}}{{- end -}}
{{- end -}}
{{- printf "%d:%s" (len $bits) (trunc (int (last $parts)) $bits) -}}
{{- end -}}

{{/* redis-ha.problems.selectors: conditions on labels, and exceptions from address ranges, that Kubernetes would refuse. */}}
{{- define "redis-ha.problems.selectors" -}}
{{- range $client := (.Values.networkPolicy).clients }}
{{- with $client.ipBlock }}
{{- $cidr := .cidr }}
{{- $whole := include "redis-ha.prefixBits" $cidr }}
{{- range .except }}
{{- $part := include "redis-ha.prefixBits" . }}
{{- if or (not (hasPrefix $whole $part)) (eq $whole $part) }}
networkPolicy.clients[].ipBlock.except: {{ . }} is not a part of {{ $cidr }}; remove it, or set cidr to a range that it is a part of
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $selector := $client }}
{{- range $selector.matchExpressions }}
{{- $compares := has .operator (list "In" "NotIn") }}
{{- if and $compares (not .values) }}
networkPolicy.clients[].{{ $name }}.matchExpressions[].values: {{ .key | quote }} is compared by {{ .operator }} with nothing; list a value, or set operator to {{ ternary "Exists" "DoesNotExist" (eq .operator "In") }}
{{- else if and .values (not $compares) }}
networkPolicy.clients[].{{ $name }}.matchExpressions[].values: {{ .key | quote }} is not compared by {{ .operator }}; remove the values, or set operator to {{ ternary "In" "NotIn" (eq .operator "Exists") }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
