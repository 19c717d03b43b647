{{/* redis-ha.replaced: one line of the notes of an upgrade: which pods it replaces. A workload whose pod template stays as it is keeps its
pods. Empty at an installation. Input: the root context. */}}
{{- define "redis-ha.replaced" -}}
{{- if .Release.IsUpgrade -}}
{{- $fullname := include "redis-ha.fullname" . -}}
{{- $unknown := false -}}
{{- $replaced := list -}}
{{- range $component, $template := dict "server" "redis-ha.serverPod" "sentinel" "redis-ha.sentinelPod" -}}
{{- $kind := ternary $.Values.servers.workload "Deployment" (eq $component "server") -}}
{{- $running := lookup "apps/v1" $kind $.Release.Namespace (printf "%s-%s" $fullname $component) -}}
{{- if not $running -}}
{{- $unknown = true -}}
{{- else if ne (dig "metadata" "annotations" "redis-ha/pod-template" "" $running) (include "redis-ha.podSum" (include $template $)) -}}
{{- $replaced = append $replaced (printf "%ss" $component) -}}
{{- end -}}
{{- end -}}
{{- $version := printf "the settings are %s in \"launcher status\"" (include "redis-ha.settingsVersion" .) -}}
{{- if $unknown -}}
Which pods this upgrade replaces is not known without the running workloads: use --dry-run=server. The launchers apply settings within two minutes; {{ $version }}.
{{- else if $replaced -}}
This upgrade replaces the pods of the {{ join " and of the " $replaced }}, one after the other; {{ $version }}.
{{- else -}}
This upgrade replaces no pod. The launchers apply changed settings within two minutes; {{ $version }}.
{{- end -}}
{{- end -}}
{{- end -}}
