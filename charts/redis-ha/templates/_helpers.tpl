{{/* redis-ha.name: the chart name or nameOverride, the value of the label "app". Input: the root context. */}}
{{- define "redis-ha.name" -}}
{{- default .Chart.Name .Values.nameOverride | toString | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* redis-ha.fullname: prefix of every object name, "<release>-<chart>" cut to 63. Input: the root context. */}}
{{- define "redis-ha.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | toString | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "redis-ha.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* redis-ha.chart: chart name and version as a label value. Input: the root context. */}}
{{- define "redis-ha.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* labels.standard: the labels of every object, never used in a selector. Input: the root context. */}}
{{- define "labels.standard" -}}
app: {{ include "redis-ha.name" . | quote }}
chart: {{ include "redis-ha.chart" . | quote }}
heritage: {{ .Release.Service | quote }}
release: {{ .Release.Name | quote }}
app.kubernetes.io/name: {{ include "redis-ha.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/part-of: {{ .Chart.Name | quote }}
helm.sh/chart: {{ include "redis-ha.chart" . | quote }}
{{- end -}}

{{/* redis-ha.peers: the labels that select the pods of all components, by which the launchers find each other. Input: the root context. */}}
{{- define "redis-ha.peers" -}}
app: {{ include "redis-ha.name" . | quote }}
release: {{ .Release.Name | quote }}
{{- end -}}

{{/* redis-ha.selector: the labels that select the pods of one component. Input: dict "root" and "component". */}}
{{- define "redis-ha.selector" -}}
{{ include "redis-ha.peers" .root }}
component: {{ .component }}
{{- end -}}

{{/* redis-ha.podLabels: the labels of the pods of one component. No version label: a new chart alone must not restart pods.
Input: dict "root" and "component". */}}
{{- define "redis-ha.podLabels" -}}
{{ include "redis-ha.selector" . }}
name: {{ include "redis-ha.fullname" .root }}-{{ .component }}
app.kubernetes.io/name: {{ include "redis-ha.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* redis-ha.serviceAccountName: the service account of server and sentinel pods. Input: the root context. */}}
{{- define "redis-ha.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "redis-ha.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* redis-ha.majority: the smallest number of sentinels that is more than half. Input: the root context. */}}
{{- define "redis-ha.majority" -}}
{{- add1 (div (int .Values.replicas.sentinels) 2) -}}
{{- end -}}

{{/* redis-ha.quorum: sentinel.quorum, else the majority. Input: the root context. */}}
{{- define "redis-ha.quorum" -}}
{{- if kindIs "invalid" .Values.sentinel.quorum -}}
{{- include "redis-ha.majority" . -}}
{{- else -}}
{{- int .Values.sentinel.quorum -}}
{{- end -}}
{{- end -}}

{{/* redis-ha.minReplicasToWrite: servers.minReplicasToWrite, else 1 where there is a slave. Input: the root context. */}}
{{- define "redis-ha.minReplicasToWrite" -}}
{{- if kindIs "invalid" .Values.servers.minReplicasToWrite -}}
{{- ternary 1 0 (gt (int .Values.replicas.servers) 1) -}}
{{- else -}}
{{- int .Values.servers.minReplicasToWrite -}}
{{- end -}}
{{- end -}}

{{/* redis-ha.defaultServerResources: resources.server as in values.yaml, to notice a change of it. */}}
{{- define "redis-ha.defaultServerResources" -}}
requests:
  memory: 200Mi
  cpu: 100m
limits:
  memory: 700Mi
{{- end -}}

{{/* redis-ha.serverResources: resources.server with resources.master or resources.slave merged over it. Both are alike
when both are set: redis-ha.validate refuses everything else. Input: the root context. */}}
{{- define "redis-ha.serverResources" -}}
{{- $r := .Values.resources -}}
{{- mergeOverwrite (deepCopy (default dict $r.server)) (deepCopy (default dict $r.slave)) (deepCopy (default dict $r.master)) | toYaml -}}
{{- end -}}

{{/* redis-ha.configValue: one value of servers.config as redis.conf spells it: booleans are yes and no, whole numbers
have no exponent, an empty string is "". Input: the value. */}}
{{- define "redis-ha.configValue" -}}
{{- if kindIs "bool" . -}}
{{- ternary "yes" "no" . -}}
{{- else if and (kindIs "float64" .) (eq . (floor .)) -}}
{{- int64 . -}}
{{- else if eq (toString .) "" -}}
""
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/* redis-ha.config: redis.conf with one "directive value" line for each entry of servers.config. Input: the root context. */}}
{{- define "redis-ha.config" -}}
{{- range $directive, $value := .Values.servers.config }}
{{ $directive }} {{ include "redis-ha.configValue" $value }}
{{- end }}
{{- end -}}

{{/* redis-ha.settings: the settings file, whose values the launchers apply while they run. Its sum is the version that the launchers tell, so
it names the sum of redis.conf as well. Input: the root context. */}}
{{- define "redis-ha.settings" -}}
LAUNCHER_SERVERS={{ int .Values.replicas.servers }}
LAUNCHER_SENTINELS={{ int .Values.replicas.sentinels }}
LAUNCHER_QUORUM={{ include "redis-ha.quorum" . }}
LAUNCHER_DOWN_AFTER_MILLISECONDS={{ int .Values.sentinel.downAfterMilliseconds }}
LAUNCHER_FAILOVER_TIMEOUT_MILLISECONDS={{ int .Values.sentinel.failoverTimeoutMilliseconds }}
LAUNCHER_MIN_REPLICAS_TO_WRITE={{ include "redis-ha.minReplicasToWrite" . }}
LAUNCHER_MIN_REPLICAS_MAX_LAG_SECONDS={{ int .Values.servers.minReplicasMaxLagSeconds }}
LAUNCHER_LOG_LEVEL={{ .Values.logLevel }}
LAUNCHER_AUTH={{ .Values.auth }}
LAUNCHER_PASSWORD_GRACE_SECONDS={{ include "redis-ha.passwordGrace" . }}
{{- with include "redis-ha.config" . | trim }}
# redis.conf {{ sha256sum . | trunc 8 }}
{{- end }}
{{- end -}}

{{/* redis-ha.settingsVersion: the version of the settings, as launchers tell it: of the settings file with its last line break. Input: the
root context. */}}
{{- define "redis-ha.settingsVersion" -}}
{{- printf "%s\n" (include "redis-ha.settings" .) | sha256sum | trunc 8 -}}
{{- end -}}

{{/* redis-ha.settingsVolume: the ConfigMap with the settings. It is mounted as a folder: the kubelet never refreshes a single file.
Input: the root context. */}}
{{- define "redis-ha.settingsVolume" -}}
- name: settings
  configMap:
    name: {{ include "redis-ha.fullname" . }}-settings
{{- end -}}

{{/* redis-ha.settingsMount: where the launcher looks for it. */}}
{{- define "redis-ha.settingsMount" -}}
- name: settings
  mountPath: /etc/redis-ha
  readOnly: true
{{- end -}}

{{/* redis-ha.configAtStart: the lines of redis.conf that Redis takes only when it starts. Directives that the chart does not know may be of
them. Input: the root context. */}}
{{- define "redis-ha.configAtStart" -}}
{{- $known := regexSplit "\\s+" (include "redis-ha.directives" .) -1 -}}
{{- $start := regexSplit "\\s+" (include "redis-ha.startDirectives" .) -1 -}}
{{- range $directive, $value := .Values.servers.config }}
{{- if or (has $directive $start) (not (has $directive $known)) }}
{{ $directive }} {{ include "redis-ha.configValue" $value }}
{{- end }}
{{- end }}
{{- end -}}

{{/* redis-ha.runningServers: how many servers the workload is to have. With replicas.external that is the number that the running workload
has. Without a cluster, as in helm template, nothing runs. Input: the root context. */}}
{{- define "redis-ha.runningServers" -}}
{{- $servers := int .Values.replicas.servers -}}
{{- if .Values.replicas.external -}}
{{- $running := lookup "apps/v1" .Values.servers.workload .Release.Namespace (printf "%s-server" (include "redis-ha.fullname" .)) -}}
{{- if $running -}}
{{- $servers = int (dig "spec" "replicas" $servers $running) -}}
{{- end -}}
{{- end -}}
{{- $servers -}}
{{- end -}}

{{/* redis-ha.podSum: the sum of a pod template, which does not depend on how it is written. A workload has the sum in its annotation
redis-ha/pod-template, by which the notes tell whether an upgrade replaces pods. Input: the text of the template. */}}
{{- define "redis-ha.podSum" -}}
{{- fromYaml . | toJson | sha256sum -}}
{{- end -}}
