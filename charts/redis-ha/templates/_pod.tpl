{{/* redis-ha.podSettings: what the pods of both components have in common. Input: dict "root" and "component". */}}
{{- define "redis-ha.podSettings" -}}
serviceAccountName: {{ include "redis-ha.serviceAccountName" .root | quote }}
automountServiceAccountToken: false
{{- /* Service links would add variables such as REDIS_SENTINEL_SERVICE_HOST of foreign Services. */}}
enableServiceLinks: false
{{- include "redis-ha.placement" .root }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "redis-ha.selector" . | nindent 14 }}
{{ include "redis-ha.podSecurityContext" .root }}
{{- end -}}

{{/* redis-ha.placement: pull secrets, node selector and tolerations, empty if none is set. Input: the root context. */}}
{{- define "redis-ha.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* redis-ha.image: image and pull policy of every container. Input: the root context. */}}
{{- define "redis-ha.image" -}}
image: {{ .Values.redis_image | quote }}
imagePullPolicy: {{ .Values.imagePullPolicy | quote }}
{{- end -}}

{{/* redis-ha.ownEnv: what every launcher has to know of its release and of its pod. Input: the root context. */}}
{{- define "redis-ha.ownEnv" -}}
- name: REDIS_CHART_PREFIX
  value: "{{ include "redis-ha.fullname" . }}-"
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: POD_UID
  valueFrom:
    fieldRef:
      fieldPath: metadata.uid
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
- name: LAUNCHER_POD_SELECTOR
  value: {{ printf "app=%s,release=%s" (include "redis-ha.name" .) .Release.Name | quote }}
{{- include "redis-ha.tlsEnv" . }}
{{- end -}}

{{/* redis-ha.env: the variables that servers and sentinels share. What the launcher applies while it runs is not here: a change of a
variable replaces the pods (redis-ha.settings). The shutdown budget leaves the kubelet five
seconds of the grace period. Input: dict "root" and "gracePeriodSeconds". */}}
{{- define "redis-ha.env" -}}
{{- include "redis-ha.ownEnv" .root }}
{{- include "redis-ha.passwordFileEnv" .root }}
- name: LAUNCHER_MASTER_NAME
  value: {{ .root.Values.sentinel.masterName | quote }}
- name: LAUNCHER_SHUTDOWN_BUDGET_SECONDS
  value: {{ sub (int .gracePeriodSeconds) 5 | quote }}
- name: LAUNCHER_SETTINGS_FILE
  value: /etc/redis-ha/settings
{{- end -}}

{{/* redis-ha.probes: /livez answers while the launcher lives, also during LOADING; /readyz when the role is agreed. Input: the root context. */}}
{{- define "redis-ha.probes" -}}
startupProbe:
  httpGet:
    path: /livez
    port: launcher
    {{- include "redis-ha.probeScheme" . }}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet:
    path: /livez
    port: launcher
    {{- include "redis-ha.probeScheme" . }}
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 6
readinessProbe:
  httpGet:
    path: /readyz
    port: launcher
    {{- include "redis-ha.probeScheme" . }}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 3
{{- end -}}

{{/* redis-ha.probeScheme: how the kubelet asks, which checks no certificate; empty for plain HTTP. Input: the root context. */}}
{{- define "redis-ha.probeScheme" -}}
{{- if include "redis-ha.tls" . }}
    scheme: HTTPS
{{- end }}
{{- end -}}

{{/* redis-ha.runVolume: memory for the configuration files that the launcher writes; they may contain the password. */}}
{{- define "redis-ha.runVolume" -}}
- name: run
  emptyDir:
    medium: Memory
    sizeLimit: 16Mi
{{- end -}}
