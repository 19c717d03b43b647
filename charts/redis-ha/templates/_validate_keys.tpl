{{/* redis-ha.keys: the values that the chart has. "text" is any text, "switch" is true or false, "*" stands for any key; what else a
value may be, values.schema.json says. The schema lets unknown keys and other types of these values pass: Helm prints its messages
before those of the chart, and they do not say what to set. A test compares this list with the schema. */}}
{{- define "redis-ha.keys" -}}
redis_image: text
imagePullPolicy: other
imagePullSecrets: [{name: text}]
nameOverride: text
fullnameOverride: text
resources:
  server: {requests: &sizes {memory: other, cpu: other, ephemeral-storage: other}, limits: *sizes}
  sentinel: {requests: *sizes, limits: *sizes}
  master: {requests: *sizes, limits: *sizes}
  slave: {requests: *sizes, limits: *sizes}
replicas: {servers: other, sentinels: other, external: other}
nodeSelector: {"*": text}
tolerations: [{key: text, operator: other, value: text, effect: other, tolerationSeconds: other}]
servers:
  workload: other
  serviceType: other
  annotations: {"*": text}
  config: {"*": other}
  minReplicasToWrite: other
  minReplicasMaxLagSeconds: other
  maxReplicationLag: other
  maxmemoryPercent: other
  terminationGracePeriodSeconds: other
sentinel: {quorum: other, masterName: text, downAfterMilliseconds: other, failoverTimeoutMilliseconds: other}
persistence:
  enabled: other
  size: text
  storageClass: text
  accessModes: other
  retention: {whenDeleted: other, whenScaled: other}
notifications: {webhook: {url: text, existingSecret: text, key: text}}
backup:
  enabled: other
  schedule: text
  retention: text
  persistentVolumeClaim: text
  s3: {endpoint: text, bucket: text, prefix: text, region: text, existingSecret: text}
  encryption: {existingSecret: text}
restore: {from: text}
externalMaster: {enabled: other, host: text, port: other, existingSecret: text, key: text, tls: other}
logLevel: other
podAnnotations: {"*": text}
networkPolicy:
  enabled: other
  clients: &peers
    - podSelector: &labels {matchLabels: {"*": text}, matchExpressions: [{key: text, operator: other, values: [text]}]}
      namespaceSelector: *labels
      ipBlock: {cidr: other, except: other}
  scrapers: *peers
  apiServerPorts: other
rbac: {create: other}
serviceAccount: {create: other, name: text}
auth: switch
redisPassword: text
existingSecret: text
enabled: other
global: other
{{- end -}}

{{/* redis-ha.elsewhere: what to set instead of keys that other charts have, and of near ones of this chart. */}}
{{- define "redis-ha.elsewhere" -}}
image: redis_image to the whole name with its tag
image.pullPolicy: imagePullPolicy
image.pullSecrets: imagePullSecrets
image.registry: redis_image to the whole name with its tag
password: auth to true, and redisPassword
auth.password: auth to true, and redisPassword
auth.enabled: auth to true or false, without anything below it
auth.existingSecret: auth to true, and existingSecret
resources.limits: resources.server.limits, and resources.sentinel.limits
resources.requests: resources.server.requests, and resources.sentinel.requests
replicaCount: replicas.servers, and replicas.sentinels
replicas.server: replicas.servers
replicas.sentinel: replicas.sentinels
replicas.slaves: replicas.servers, which counts the master as well
servers.replicas: replicas.servers
autoscaling: replicas.external to true, and make a HorizontalPodAutoscaler of the servers
servers.resources: resources.server
sentinel.replicas: replicas.sentinels
sentinel.resources: resources.sentinel
persistence.storageClassName: persistence.storageClass
persistence.accessMode: persistence.accessModes, which is a list
persistentVolumeClaimRetentionPolicy: persistence.retention
persistence.persistentVolumeClaimRetentionPolicy: persistence.retention
service: servers.serviceType, and servers.annotations
service.type: servers.serviceType
service.annotations: servers.annotations
servers.type: servers.serviceType
config: servers.config
backup.bucket: backup.s3.bucket
backup.existingSecret: backup.s3.existingSecret, or backup.encryption.existingSecret
backup.pvc: backup.persistentVolumeClaim
backup.existingClaim: backup.persistentVolumeClaim
backup.cron: backup.schedule
backup.restore: restore.from
restore.name: restore.from
{{- end -}}

{{/* redis-ha.problems.keys: keys that the chart does not have, and texts that Helm reads as something else. Removes the former
and turns the latter into texts, as the other checks rely on known keys and on texts. Input: dict with path (empty for the root), value, and shape, its part of
redis-ha.keys. */}}
{{- define "redis-ha.problems.keys" -}}
{{- $path := .path }}
{{- $shape := .shape }}
{{- $value := .value }}
{{- if and (kindIs "slice" $shape) (kindIs "slice" $value) }}
{{- range $value }}
{{- include "redis-ha.problems.keys" (dict "path" (printf "%s[]" $path) "value" . "shape" (first $shape)) }}
{{- end }}
{{- else if and (kindIs "map" $shape) (kindIs "map" $value) }}
{{- range $key, $child := $value }}
{{- $name := trimPrefix "." (printf "%s.%s" $path $key) }}
{{- $part := get $shape (ternary "*" $key (hasKey $shape "*")) }}
{{- if not $part }}
{{- include "redis-ha.problems.unknown" (dict "path" $path "key" $key "value" $child "known" (keys $shape | sortAlpha)) }}
{{- $_ := unset $value $key }}
{{- else if kindIs "string" $part }}
{{- include "redis-ha.problems.text" (dict "path" (ternary $path $name (hasKey $shape "*")) "key" (ternary $key "" (hasKey $shape "*")) "value" $child "shape" $part) }}
{{- if and (eq $part "text") (not (kindIs "invalid" $child)) }}
{{- $_ := set $value $key (toString $child) }}
{{- end }}
{{- else }}
{{- include "redis-ha.problems.keys" (dict "path" $name "value" $child "shape" $part) }}
{{- end }}
{{- end }}
{{- else if kindIs "string" $shape }}
{{- include "redis-ha.problems.text" (dict "path" $path "key" "" "value" $value "shape" $shape) }}
{{- end }}
{{- end -}}

{{/* redis-ha.problems.text: a value that has another type than its users think. Never prints it, as it may be a password. Input: dict
with path, key (empty, or of a map with any keys), value and shape. */}}
{{- define "redis-ha.problems.text" -}}
{{- $what := ternary (printf "the value of %s" (quote .key)) "the value" (not (empty .key)) }}
{{- if and (eq .shape "text") (kindIs "bool" .value) }}
{{ .path }}: Helm reads {{ $what }} as true or false and not as a text; use --set-string instead of --set, or put quotes around it in a values file
{{- else if and (eq .shape "text") (or (kindIs "float64" .value) (kindIs "int64" .value) (kindIs "int" .value)) }}
{{ .path }}: Helm reads {{ $what }} as a number and not as a text; use --set-string instead of --set, or put quotes around it in a values file
{{- else if and (eq .shape "switch") (kindIs "map" .value) }}
{{- range $key, $child := .value }}
{{- include "redis-ha.problems.unknown" (dict "path" $.path "key" $key "value" $child "known" list) }}
{{- end }}
{{- else if and (eq .shape "switch") (not (kindIs "bool" .value)) }}
{{ .path }}: the value is neither true nor false; set it to true, and redisPassword to a password of your own, or set it to false
{{- end }}
{{- end -}}

{{/* redis-ha.problems.unknown: a key that the chart does not have, and what to set instead. Input: dict with the path of its section,
key, value, and the keys that are known there. */}}
{{- define "redis-ha.problems.unknown" -}}
{{- $name := trimPrefix "." (printf "%s.%s" .path .key) }}
{{- $elsewhere := include "redis-ha.elsewhere" . | fromYaml }}
{{- $instead := get $elsewhere $name }}
{{- $names := list $name }}
{{- if and $instead .value (kindIs "map" .value) }}
{{- $names = list }}
{{- range $key, $_ := .value }}
{{- $names = append $names (printf "%s.%s" $name $key) }}
{{- end }}
{{- end }}
{{- range $names }}
{{- $shown := ternary . (quote .) (regexMatch "^[\\w./\\[\\]-]+$" .) }}
{{- $near := "" }}
{{- if and (regexMatch "^[\\w-]{1,50}$" $.key) $.known }}
{{- $near = include "redis-ha.nearest" (dict "word" $.key "known" $.known) }}
{{- end }}
{{- if $instead }}
{{ $shown }}: the chart has no such value; set {{ default $instead (get $elsewhere .) }}
{{- else if $near }}
{{ $shown }}: the chart has no such value; correct the key to {{ $near }}
{{- else if $.known }}
{{ $shown }}: the chart has no such value; remove it, or use one of the keys {{ join ", " $.known }}
{{- else }}
{{ $shown }}: {{ $.path }} has no values below it; set {{ $.path }} to true or false
{{- end }}
{{- end }}
{{- end -}}
