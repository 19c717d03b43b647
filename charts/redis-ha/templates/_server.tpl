{{/* redis-ha.serverMeta: the metadata of the servers' workload, whatever its kind. Input: the root context. */}}
{{- define "redis-ha.serverMeta" -}}
# The label redis-role of the pods is missing here on purpose: the launcher in the image sets it at run time.
name: {{ include "redis-ha.fullname" . }}-server
namespace: {{ .Release.Namespace | quote }}
labels:
  name: {{ include "redis-ha.fullname" . }}-server
  redis-node: "true"
  {{- include "labels.standard" . | nindent 2 }}
  app.kubernetes.io/component: server
annotations:
  redis-ha/pod-template: {{ include "redis-ha.podSum" (include "redis-ha.serverPod" .) }}
{{- end -}}

{{/* redis-ha.serverClaim: labels and spec of the volume claim of one server. Input: the root context. */}}
{{- define "redis-ha.serverClaim" -}}
metadata:
  {{- if eq .Values.servers.workload "StatefulSet" }}
  name: data
  {{- end }}
  labels:
    {{- include "redis-ha.selector" (dict "root" . "component" "server") | nindent 4 }}
spec:
  accessModes:
    {{- toYaml .Values.persistence.accessModes | nindent 4 }}
  {{- with .Values.persistence.storageClass }}
  storageClassName: {{ ternary "" . (eq . "-") | quote }}
  {{- end }}
  resources:
    requests:
      storage: {{ .Values.persistence.size | quote }}
{{- end -}}

{{/* redis-ha.externalMaster: the external master as YAML, with its address; empty if there is none. Values that `helm upgrade --reuse-values`
keeps may lack the section. Input: the root context. */}}
{{- define "redis-ha.externalMaster" -}}
{{- with .Values.externalMaster }}
{{- if .enabled }}
address: {{ printf (ternary "[%s]:%d" "%s:%d" (contains ":" .host)) .host (int .port) | quote }}
port: {{ int .port }}
existingSecret: {{ .existingSecret | quote }}
key: {{ .key | quote }}
tls: {{ .tls }}
tlsSecret: {{ default "" .tlsSecret | quote }}
certCAFilename: {{ default "ca.crt" .certCAFilename | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* redis-ha.serverPod: the pod template of the servers, the same for each kind of workload. A StatefulSet adds the volume "data" to each
pod itself. Input: the root context. */}}
{{- define "redis-ha.serverPod" -}}
{{- $component := dict "root" . "component" "server" }}
{{- $grace := int .Values.servers.terminationGracePeriodSeconds }}
{{- $kept := eq .Values.servers.workload "StatefulSet" }}
{{- $backups := ternary (.Values.backup).persistentVolumeClaim "" (not (empty (include "redis-ha.restoreFrom" .))) }}
{{- $annotations := dict "kubectl.kubernetes.io/default-container" "redis" }}
{{- with include "redis-ha.configAtStart" . | trim }}
{{- $_ := set $annotations "checksum/config" (sha256sum .) }}
{{- end -}}
metadata:
  labels:
    {{- include "redis-ha.podLabels" $component | nindent 4 }}
    redis-node: "true"
  annotations:
    {{- toYaml (merge $annotations (default dict .Values.podAnnotations)) | nindent 4 }}
spec:
  {{- include "redis-ha.podSettings" $component | nindent 2 }}
  terminationGracePeriodSeconds: {{ $grace }}
  containers:
    - name: redis
      {{- include "redis-ha.image" . | nindent 6 }}
      env:
        - name: REDIS_SENTINEL_SERVICE_HOST
          value: {{ include "redis-ha.fullname" . }}-sentinel
        {{- include "redis-ha.env" (dict "root" . "gracePeriodSeconds" $grace) | nindent 8 }}
        {{- if not (kindIs "invalid" .Values.servers.maxReplicationLag) }}
        - name: LAUNCHER_MAX_REPLICATION_LAG
          value: {{ include "redis-ha.configValue" .Values.servers.maxReplicationLag | quote }}
        {{- end }}
        - name: LAUNCHER_MEMORY_LIMIT_BYTES
          valueFrom:
            resourceFieldRef:
              resource: limits.memory
        - name: LAUNCHER_MAXMEMORY_PERCENT
          value: {{ int .Values.servers.maxmemoryPercent | quote }}
        - name: LAUNCHER_PERSISTENCE
          value: {{ .Values.persistence.enabled | quote }}
        {{- if $kept }}
        - name: LAUNCHER_VOLUMES_KEPT
          value: "true"
        {{- end }}
        {{- if (.Values.backup).enabled }}
        - name: LAUNCHER_BACKUP_ENABLED
          value: "true"
        {{- end }}
        {{- with include "redis-ha.restoreEnv" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- with include "redis-ha.externalMaster" . | fromYaml }}
        - name: LAUNCHER_EXTERNAL_MASTER
          value: {{ .address | quote }}
        {{- if .existingSecret }}
        - name: LAUNCHER_EXTERNAL_MASTER_PASS
          valueFrom:
            secretKeyRef:
              name: {{ .existingSecret | quote }}
              key: {{ .key | quote }}
        {{- end }}
        {{- if .tls }}
        - name: LAUNCHER_EXTERNAL_MASTER_TLS
          value: "true"
        {{- end }}
        {{- if .tlsSecret }}
        - name: LAUNCHER_EXTERNAL_MASTER_CA_FILE
          value: /etc/redis-ha-external/ca.crt
        {{- end }}
        {{- end }}
        - name: LAUNCHER_REDIS_CONFIG_FILE
          value: /etc/redis-ha/redis.conf
      ports:
        - name: redis
          containerPort: 6379
          protocol: TCP
        - name: launcher
          containerPort: 8080
          protocol: TCP
      {{- include "redis-ha.probes" . | nindent 6 }}
      resources:
        {{- include "redis-ha.serverResources" . | nindent 8 }}
      {{- include "redis-ha.containerSecurityContext" . | nindent 6 }}
      volumeMounts:
        - name: data
          mountPath: /redis-master-data
        - name: run
          mountPath: /run/redis-ha
        {{- if $backups }}
        - name: backups
          mountPath: /backups
          readOnly: true
        {{- end }}
        {{- include "redis-ha.settingsMount" . | nindent 8 }}
        {{- include "redis-ha.passwordMount" . | nindent 8 }}
        {{- include "redis-ha.tokenMount" . | nindent 8 }}
        {{- with include "redis-ha.tlsMount" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- if (include "redis-ha.externalMaster" . | fromYaml).tlsSecret }}
        - name: external
          mountPath: /etc/redis-ha-external
          readOnly: true
        {{- end }}
  volumes:
    {{- include "redis-ha.runVolume" . | nindent 4 }}
    {{- include "redis-ha.settingsVolume" . | nindent 4 }}
    {{- include "redis-ha.passwordVolume" . | nindent 4 }}
    {{- include "redis-ha.tokenVolume" . | nindent 4 }}
    {{- with include "redis-ha.tlsVolume" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with include "redis-ha.externalMaster" . | fromYaml }}
    {{- if .tlsSecret }}
    - name: external
      secret:
        secretName: {{ .tlsSecret | quote }}
        items:
          - key: {{ .certCAFilename | quote }}
            path: ca.crt
    {{- end }}
    {{- end }}
    {{- with $backups }}
    - name: backups
      persistentVolumeClaim:
        claimName: {{ . | quote }}
        readOnly: true
    {{- end }}
    {{- if not $kept }}
    - name: data
      {{- if .Values.persistence.enabled }}
      ephemeral:
        volumeClaimTemplate:
          {{- include "redis-ha.serverClaim" . | nindent 10 }}
      {{- else }}
      emptyDir: {}
      {{- end }}
    {{- end }}
{{- end -}}
