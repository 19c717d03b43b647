{{/* redis-ha.backupAccountName: the service account of the pods that make backups: an account of their own where the chart makes accounts, as
they need fewer rights than the launcher. Input: the root context. */}}
{{- define "redis-ha.backupAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- include "redis-ha.fullname" . }}-backup
{{- else -}}
{{- include "redis-ha.serviceAccountName" . -}}
{{- end -}}
{{- end -}}

{{/* redis-ha.backupLabels: the labels by which NetworkPolicies find the pods that make backups. These pods have neither of the labels "app" and
"release": the launchers look for their peers by these. Input: the root context. */}}
{{- define "redis-ha.backupLabels" -}}
app.kubernetes.io/name: {{ include "redis-ha.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: backup
{{- end -}}

{{/* redis-ha.backupPrefix: what the names of all objects of this release begin with. Two releases that share a bucket must not delete each
other's backups. Input: the root context. */}}
{{- define "redis-ha.backupPrefix" -}}
{{- default (printf "%s/%s" .Release.Namespace (include "redis-ha.fullname" .)) .Values.backup.s3.prefix -}}
{{- end -}}

{{/* redis-ha.backupPlace: where the backups are, and who may use that place. Input: the root context. */}}
{{- define "redis-ha.backupPlace" -}}
{{- $backup := .Values.backup -}}
{{- if $backup.persistentVolumeClaim }}
- name: LAUNCHER_BACKUP_DIR
  value: /backups/{{ include "redis-ha.fullname" . }}
{{- else }}
- name: LAUNCHER_BACKUP_S3_ENDPOINT
  value: {{ $backup.s3.endpoint | quote }}
- name: LAUNCHER_BACKUP_S3_BUCKET
  value: {{ $backup.s3.bucket | quote }}
- name: LAUNCHER_BACKUP_S3_PREFIX
  value: {{ include "redis-ha.backupPrefix" . | quote }}
{{- with $backup.s3.region }}
- name: LAUNCHER_BACKUP_S3_REGION
  value: {{ . | quote }}
{{- end }}
{{- range $variable, $key := dict "LAUNCHER_BACKUP_S3_ACCESS_KEY" "access-key" "LAUNCHER_BACKUP_S3_SECRET_KEY" "secret-key" }}
- name: {{ $variable }}
  valueFrom:
    secretKeyRef:
      name: {{ $backup.s3.existingSecret | quote }}
      key: {{ $key }}
{{- end }}
{{- end }}
{{- end -}}

{{/* redis-ha.backupPort: the port of the S3 server, empty if the backups are on a volume. Input: the root context. */}}
{{- define "redis-ha.backupPort" -}}
{{- with .Values.backup.s3.endpoint -}}
{{- default (ternary "80" "443" (hasPrefix "http:" .)) (regexFind ":[0-9]+/?$" . | trimAll ":/") -}}
{{- end -}}
{{- end -}}

{{/* redis-ha.restoreFrom: the backup that a new release begins with, empty if it begins without data. Values that
`helm upgrade --reuse-values` keeps may lack the section. Input: the root context. */}}
{{- define "redis-ha.restoreFrom" -}}
{{- default "" (.Values.restore).from -}}
{{- end -}}

{{/* redis-ha.restoreEnv: the backup that a new release begins with, for servers. Input: the root context. */}}
{{- define "redis-ha.restoreEnv" -}}
{{- with include "redis-ha.restoreFrom" . }}
- name: LAUNCHER_RESTORE_FROM
  value: {{ . | quote }}
{{- include "redis-ha.backupPlace" $ }}
{{- with $.Values.backup.encryption.existingSecret }}
- name: LAUNCHER_BACKUP_IDENTITY
  valueFrom:
    secretKeyRef:
      name: {{ . | quote }}
      key: identity
      # A backup from before the encryption needs none.
      optional: true
{{- end }}
{{- end }}
{{- end -}}

{{/* redis-ha.backupEnv: where the backups are, how they are kept, and for how long. Input: the root context. */}}
{{- define "redis-ha.backupEnv" -}}
- name: LAUNCHER_BACKUP_RETENTION
  value: {{ .Values.backup.retention | quote }}
{{- include "redis-ha.backupPlace" . }}
{{- with .Values.backup.encryption.existingSecret }}
- name: LAUNCHER_BACKUP_RECIPIENTS
  valueFrom:
    secretKeyRef:
      name: {{ . | quote }}
      key: recipient
{{- end }}
{{- end -}}
