{{/* redis-ha.ipv6: expression for an IPv6 address; the one in the ranges of values.schema.json. */}}
{{- define "redis-ha.ipv6" -}}
(([0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}|([0-9A-Fa-f]{1,4}:){1,7}:|([0-9A-Fa-f]{1,4}:){1,6}:[0-9A-Fa-f]{1,4}|([0-9A-Fa-f]{1,4}:){1,5}(:[0-9A-Fa-f]{1,4}){1,2}|([0-9A-Fa-f]{1,4}:){1,4}(:[0-9A-Fa-f]{1,4}){1,3}|([0-9A-Fa-f]{1,4}:){1,3}(:[0-9A-Fa-f]{1,4}){1,4}|([0-9A-Fa-f]{1,4}:){1,2}(:[0-9A-Fa-f]{1,4}){1,5}|[0-9A-Fa-f]{1,4}:(:[0-9A-Fa-f]{1,4}){1,6}|:((:[0-9A-Fa-f]{1,4}){1,7}|:))
{{- end -}}

{{/* redis-ha.portNumber: expression for the number of a port. */}}
{{- define "redis-ha.portNumber" -}}
([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])
{{- end -}}

{{/* redis-ha.problems.webhook: addresses that contradict each other, that tell a secret, or that the launcher would not take. */}}
{{- define "redis-ha.problems.webhook" -}}
{{- $webhook := .Values.notifications.webhook }}
{{- if and $webhook.url $webhook.existingSecret }}
notifications.webhook.url, notifications.webhook.existingSecret: both are set; set one of them
{{- end }}
{{- if and (ne $webhook.key "url") (not $webhook.existingSecret) }}
notifications.webhook.key: has no effect without notifications.webhook.existingSecret; set that to the Secret with this key, or remove the key
{{- end }}
{{- $label := "[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?" }}
{{- $host := printf "(%s(\\.%s)*\\.?|\\[%s\\])" $label $label (include "redis-ha.ipv6" .) }}
{{- $port := include "redis-ha.portNumber" . }}
{{- if not $webhook.url }}
{{- else if regexMatch "^https?://[^/?#]*@" $webhook.url }}
notifications.webhook.url: contains credentials, which would be readable in the Deployment; put the address into a Secret and set notifications.webhook.existingSecret
{{- else if not (regexMatch (printf "^https?://%s(:%s)?([/?#]([!-$&-~]|%%[0-9A-Fa-f]{2})*)?$" $host $port) $webhook.url) }}
notifications.webhook.url: is not an http or https address; set one such as https://example.com/redis, with %XX for spaces and for other characters than those of ASCII
{{- end }}
{{- end -}}

{{/* redis-ha.problems.externalMaster: an external master without an address, of this release, or beside a backup to begin with. What is set for an
external master may stay when it is switched off, after the cut-over. */}}
{{- define "redis-ha.problems.externalMaster" -}}
{{- $fullname := include "redis-ha.fullname" . }}
{{- with .Values.externalMaster }}
{{- if .enabled }}
{{- if not .host }}
externalMaster.enabled: is true, and externalMaster.host is empty; set that to the name or address of the Redis to follow, or enabled to false
{{- else if and (hasPrefix $fullname .host) (regexMatch "^(-master-svc|-slave-svc)?(\\.|$)" (trimPrefix $fullname .host)) }}
externalMaster.host: {{ .host | quote }} is a Service of this release, which has no master until it has left the external one; set the name of the old Redis
{{- end }}
{{- if include "redis-ha.restoreFrom" $ }}
externalMaster.enabled, restore.from: both are set, and a new release begins either with the data of an external master or with a backup; set externalMaster.enabled to false, or remove restore.from
{{- end }}
{{- if and (not .existingSecret) (ne .key "auth") }}
externalMaster.key: has no effect without externalMaster.existingSecret; set that to the Secret with this key, or remove the key
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* redis-ha.addressBits: the bits of the address in a range. Input: the range in CIDR notation. */}}
{{- define "redis-ha.addressBits" -}}
{{- $address := regexFind "^[^/]*" . -}}
{{- if contains ":" $address -}}
{{- $halves := splitList "::" $address -}}
{{- $left := without (splitList ":" (first $halves)) "" -}}
{{- $right := ternary (without (splitList ":" (last $halves)) "") list (eq (len $halves) 2) -}}
{{- range concat $left (until (int (sub (sub 8 (len $left)) (len $right)))) $right -}}
{{- printf "%016b" (ternary (int64 (printf "0x%v" .)) 0 (kindIs "string" .)) -}}
{{- end -}}
{{- else -}}
{{- range splitList "." $address -}}{{- printf "%08b" (int64 .) -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* redis-ha.prefixBits: the bits that all addresses of a range have in common, after the length of an address. Input: the
range in CIDR notation. */}}
{{- define "redis-ha.prefixBits" -}}
{{- $bits := include "redis-ha.addressBits" . -}}
{{- printf "%d:%s" (len $bits) (trunc (regexFind "[0-9]+$" . | int) $bits) -}}
{{- end -}}

{{/* redis-ha.problems.range: an address range that Kubernetes refuses. Input: dict with the value path and the range. */}}
{{- define "redis-ha.problems.range" -}}
{{- $bits := include "redis-ha.addressBits" .range }}
{{- $length := regexFind "[0-9]+$" .range }}
{{- if contains "1" (trimPrefix (trunc (int $length) $bits) $bits) }}
{{ .path }}: {{ .range }} begins with an address inside of the range; set its first one, whose bits after the first {{ $length }} are zero
{{- else if hasPrefix (printf "%080d1111111111111111" 0) $bits }}
{{ .path }}: {{ .range }} is a range of IPv4 addresses; write it as one
{{- end }}
{{- end -}}

{{/* redis-ha.problems.selectors: conditions on labels, and address ranges, that Kubernetes would refuse. */}}
{{- define "redis-ha.problems.selectors" -}}
{{- range $list := list "clients" "scrapers" }}
{{- $path := printf "networkPolicy.%s[]" $list }}
{{- range $peer := default (list) (get (default dict $.Values.networkPolicy) $list) }}
{{- with $peer.ipBlock }}
{{- $cidr := .cidr }}
{{- $whole := include "redis-ha.prefixBits" $cidr }}
{{- include "redis-ha.problems.range" (dict "path" (printf "%s.ipBlock.cidr" $path) "range" $cidr) }}
{{- range .except }}
{{- $part := include "redis-ha.prefixBits" . }}
{{- include "redis-ha.problems.range" (dict "path" (printf "%s.ipBlock.except" $path) "range" .) }}
{{- if or (not (hasPrefix $whole $part)) (eq $whole $part) }}
{{ $path }}.ipBlock.except: {{ . }} is not a part of {{ $cidr }}; remove it, or set cidr to a range that it is a part of
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $selector := $peer }}
{{- range $key, $_ := $selector.matchLabels }}
{{- include "redis-ha.problems.name" (dict "path" (printf "%s.%s.matchLabels" $path $name) "name" $key) }}
{{- end }}
{{- range $selector.matchExpressions }}
{{- include "redis-ha.problems.name" (dict "path" (printf "%s.%s.matchExpressions[].key" $path $name) "name" .key) }}
{{- $compares := has .operator (list "In" "NotIn") }}
{{- if and $compares (not .values) }}
{{ $path }}.{{ $name }}.matchExpressions[].values: {{ .key | quote }} is compared by {{ .operator }} with nothing; list a value, or set operator to {{ ternary "Exists" "DoesNotExist" (eq .operator "In") }}
{{- else if and .values (not $compares) }}
{{ $path }}.{{ $name }}.matchExpressions[].values: {{ .key | quote }} is not compared by {{ .operator }}; remove the values, or set operator to {{ ternary "In" "NotIn" (eq .operator "Exists") }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
