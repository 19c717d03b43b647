{{/* redis-ha.secretName: the Secret with the password. Input: the root context. */}}
{{- define "redis-ha.secretName" -}}
{{- default (include "redis-ha.fullname" .) .Values.existingSecret -}}
{{- end -}}

{{/* redis-ha.secretKey: the key of the password in that Secret. Values that `helm upgrade --reuse-values` keeps may lack it. Input: the root
context. */}}
{{- define "redis-ha.secretKey" -}}
{{- if .Values.existingSecret -}}
{{- default "auth" .Values.existingSecretPasswordKey -}}
{{- else -}}
auth
{{- end -}}
{{- end -}}

{{/* redis-ha.passwordGrace: how long an earlier password works, in seconds. Values that `helm upgrade --reuse-values` keeps may lack it.
Input: the root context. */}}
{{- define "redis-ha.passwordGrace" -}}
{{- int (default 3600 (.Values.passwordRotation).gracePeriodSeconds) -}}
{{- end -}}

{{/* redis-ha.passwordEnv: REDIS_PASS for a pod that ends soon, empty without auth. Input: the root context. */}}
{{- define "redis-ha.passwordEnv" -}}
{{- if .Values.auth }}
- name: REDIS_PASS
  valueFrom:
    secretKeyRef:
      name: {{ include "redis-ha.secretName" . | quote }}
      key: {{ include "redis-ha.secretKey" . | quote }}
{{- end }}
{{- end -}}

{{/* redis-ha.passwordFileEnv: where the launcher finds the password, and the password as it was when the container started. It is the same with
and without auth: a release that gets a password keeps its pods. Input: the root context. */}}
{{- define "redis-ha.passwordFileEnv" }}
- name: LAUNCHER_PASSWORD_FILE
  value: /etc/redis-ha-password/password
- name: REDIS_PASS
  valueFrom:
    secretKeyRef:
      name: {{ include "redis-ha.secretName" . | quote }}
      key: {{ include "redis-ha.secretKey" . | quote }}
      optional: true
{{- end -}}

{{/* redis-ha.passwordVolume: the password, and nothing else of the Secret. It is mounted as a folder: the kubelet never refreshes a single
file. The Secret of the chart may come while the pods run. Input: the root context. */}}
{{- define "redis-ha.passwordVolume" -}}
- name: password
  secret:
    secretName: {{ include "redis-ha.secretName" . | quote }}
    defaultMode: 0440
    {{- if not .Values.existingSecret }}
    optional: true
    {{- end }}
    items:
      - key: {{ include "redis-ha.secretKey" . | quote }}
        path: password
{{- end -}}

{{/* redis-ha.passwordMount: where the launcher looks for it. */}}
{{- define "redis-ha.passwordMount" -}}
- name: password
  mountPath: /etc/redis-ha-password
  readOnly: true
{{- end -}}
