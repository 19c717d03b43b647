{{/* redis-ha.problems.name: a name of a label or an annotation that Kubernetes does not take. Input: dict with path and
name. */}}
{{- define "redis-ha.problems.name" -}}
{{- $length := len (regexFind "^[^/]*" .name) }}
{{- if not (regexMatch "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$" .name) }}
{{ .path }}: {{ .name | quote }} is not a name Kubernetes takes; use letters, digits, "-", "_" and ".", with a domain and "/" before it if needed
{{- end }}
{{- if and (contains "/" .name) (gt $length 253) }}
{{ .path }}: the domain of {{ .name | trunc 40 | quote }}... has {{ $length }} characters; use at most 253
{{- end }}
{{- end -}}

{{/* redis-ha.reserved: expression for the annotations that belong to Helm, and in pods to the chart, to the launcher and to
Pod Security. Input: the value path. */}}
{{- define "redis-ha.reserved" -}}
(?i)^(meta\.)?helm\.sh/
{{- if eq . "podAnnotations" -}}
|^checksum/|^(redis-role|podIP|runID|kubectl\.kubernetes\.io/default-container|controller\.kubernetes\.io/pod-deletion-cost)$|^(container\.apparmor\.security\.beta|(container\.)?seccomp\.security\.alpha)\.kubernetes\.io
{{- end -}}
{{- end -}}

{{/* redis-ha.problems.entries: names that Kubernetes refuses or that belong to others, and texts that YAML cannot carry: for
these Helm would drop all annotations without a word. */}}
{{- define "redis-ha.problems.entries" -}}
{{- range $path, $entries := dict "servers.annotations" .Values.servers.annotations "podAnnotations" .Values.podAnnotations "nodeSelector" .Values.nodeSelector }}
{{- range $key, $text := $entries }}
{{- $label := eq $path "nodeSelector" }}
{{- include "redis-ha.problems.name" (dict "path" $path "name" (ternary $key (lower $key) $label)) }}
{{- if and (not $label) (regexMatch (include "redis-ha.reserved" $path) $key) }}
{{ $path }}: {{ $key | quote }} is not yours to set, it would be overwritten or break the release; remove it
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
{{- with .key }}
{{- include "redis-ha.problems.name" (dict "path" "tolerations[].key" "name" .) }}
{{- end }}
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
