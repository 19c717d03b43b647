{{/* redis-ha.problems.backup: backups that have no place or two, and settings that nobody would read. */}}
{{- define "redis-ha.problems.backup" -}}
{{- with .Values.backup }}
{{- $s3 := default dict .s3 }}
{{- $encryption := default dict .encryption }}
{{- $restore := include "redis-ha.restoreFrom" $ }}
{{- if not .enabled }}
{{- range $key, $default := dict "schedule" "0 3 * * *" "retention" "30d" }}
{{- if ne (default $default (get $.Values.backup $key)) $default }}
backup.{{ $key }}: has no effect while backup.enabled is false; set that to true, or remove {{ $key }}
{{- end }}
{{- end }}
{{- end }}
{{- if not (or .enabled $restore) }}
{{- range $key, $value := dict "persistentVolumeClaim" .persistentVolumeClaim "encryption.existingSecret" $encryption.existingSecret "s3.endpoint" $s3.endpoint "s3.bucket" $s3.bucket "s3.prefix" $s3.prefix "s3.region" $s3.region "s3.existingSecret" $s3.existingSecret }}
{{- if $value }}
backup.{{ $key }}: has no effect while backup.enabled is false and restore.from is empty; set one of them, or remove {{ $key }}
{{- end }}
{{- end }}
{{- else }}
{{- $set := list }}
{{- range $key := list "endpoint" "bucket" "prefix" "region" "existingSecret" }}
{{- if get $s3 $key }}
{{- $set = append $set $key }}
{{- end }}
{{- end }}
{{- if and .persistentVolumeClaim $set }}
backup.persistentVolumeClaim, backup.s3: both are set; set one of them
{{- else if not (or .persistentVolumeClaim $set) }}
{{ ternary "backup.enabled" "restore.from" .enabled }}: the backups have no place; set backup.persistentVolumeClaim to a claim, or backup.s3.endpoint, backup.s3.bucket and backup.s3.existingSecret
{{- else if $set }}
{{- range $key, $what := dict "endpoint" "the address of the server, such as https://s3.eu-central-1.amazonaws.com" "bucket" "the name of the bucket" "existingSecret" "the Secret with the keys access-key and secret-key" }}
{{- if not (get $s3 $key) }}
backup.s3.{{ $key }}: is not set, so there is no way to the backups; set it to {{ $what }}
{{- end }}
{{- end }}
{{- include "redis-ha.problems.endpoint" (dict "root" $ "endpoint" $s3.endpoint) }}
{{- end }}
{{- include "redis-ha.problems.schedule" .schedule }}
{{- $fullname := default (printf "%s-%s" $.Release.Name (default $.Chart.Name $.Values.nameOverride)) $.Values.fullnameOverride }}
{{- if and .enabled (gt (len $fullname) 45) }}
backup.enabled: the full name {{ $fullname | quote }} has {{ len $fullname }} characters, and Kubernetes takes 52 for the name of a CronJob, which ends in "-backup"; set fullnameOverride to at most 45 characters
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* redis-ha.problems.endpoint: an endpoint that cannot be the address of an S3 server. Input: dict with root and endpoint. */}}
{{- define "redis-ha.problems.endpoint" -}}
{{- $label := "[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?" }}
{{- $host := printf "(%s(\\.%s)*\\.?|\\[%s\\])" $label $label (include "redis-ha.ipv6" .root) }}
{{- if not .endpoint }}
{{- else if regexMatch "^https?://[^/?#]*@" .endpoint }}
backup.s3.endpoint: contains credentials, which would be readable in the CronJob; put them into the Secret of backup.s3.existingSecret
{{- else if not (regexMatch (printf "^https?://%s(:%s)?/?$" $host (include "redis-ha.portNumber" .)) .endpoint) }}
backup.s3.endpoint: {{ .endpoint | quote }} is not the address of a server; set one without a path, such as https://s3.eu-central-1.amazonaws.com
{{- end }}
{{- end -}}

{{/* redis-ha.cronNumber: a number of a field of cron, or a name in the place of a number; empty if it is neither. Input: dict with text, and
names (the name of the first number first) and first. */}}
{{- define "redis-ha.cronNumber" -}}
{{- if regexMatch "^[0-9]{1,2}$" .text -}}
{{- atoi (default "0" (trimPrefix "0" .text)) -}}
{{- else -}}
{{- range $i, $name := .names -}}
{{- if eq $name (lower $.text) -}}{{ add $i $.first }}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* redis-ha.problems.schedule: times that Kubernetes refuses. Input: the schedule. */}}
{{- define "redis-ha.problems.schedule" -}}
{{- $months := splitList " " "jan feb mar apr may jun jul aug sep oct nov dec" }}
{{- $days := splitList " " "sun mon tue wed thu fri sat" }}
{{- $given := splitList " " . }}
{{- if eq (len $given) 5 }}
{{- range $i, $field := list (list "minute" 0 59 list) (list "hour" 0 23 list) (list "day of the month" 1 31 list) (list "month" 1 12 $months) (list "day of the week" 0 6 $days) }}
{{- $what := index $field 0 }}
{{- range splitList "," (index $given $i) }}
{{- $range := regexReplaceAll "/[1-9][0-9]?$" . "" }}
{{- $ends := splitList "-" $range }}
{{- $numbers := list }}
{{- range $ends }}
{{- $number := include "redis-ha.cronNumber" (dict "text" . "first" (index $field 1) "names" (index $field 3)) }}
{{- if $number }}
{{- $numbers = append $numbers (atoi $number) }}
{{- end }}
{{- end }}
{{- if eq $range "*" }}
{{- else if or (gt (len $ends) 2) (ne (len $ends) (len $numbers)) }}
backup.schedule: {{ . | quote }} is no {{ $what }}; set *, a number from {{ index $field 1 }} to {{ index $field 2 }}, a range such as {{ index $field 1 }}-{{ index $field 2 }}, or one of these with a step such as */2
{{- else if or (lt (first $numbers) (index $field 1)) (gt (last $numbers) (index $field 2)) (gt (first $numbers) (last $numbers)) }}
backup.schedule: {{ . | quote }} is no {{ $what }}; set numbers from {{ index $field 1 }} to {{ index $field 2 }}, and the smaller one of a range first
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
