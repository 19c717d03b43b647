{{/* redis-ha.sentinelPod: the pod template of the sentinels. Input: the root context. */}}
{{- define "redis-ha.sentinelPod" -}}
{{- $component := dict "root" . "component" "sentinel" }}
{{- $grace := 30 }}
{{- $annotations := dict "kubectl.kubernetes.io/default-container" "sentinel" }}
{{- $webhook := .Values.notifications.webhook -}}
metadata:
  labels:
    {{- include "redis-ha.podLabels" $component | nindent 4 }}
  annotations:
    {{- toYaml (merge $annotations (default dict .Values.podAnnotations)) | nindent 4 }}
spec:
  {{- include "redis-ha.podSettings" $component | nindent 2 }}
  terminationGracePeriodSeconds: {{ $grace }}
  containers:
    - name: sentinel
      {{- include "redis-ha.image" . | nindent 6 }}
      env:
        - name: SENTINEL
          value: "true"
        {{- include "redis-ha.env" (dict "root" . "gracePeriodSeconds" $grace) | nindent 8 }}
        {{- if $webhook.existingSecret }}
        - name: LAUNCHER_NOTIFY_WEBHOOK_URL
          valueFrom:
            secretKeyRef:
              name: {{ $webhook.existingSecret | quote }}
              key: {{ $webhook.key | quote }}
        {{- else if $webhook.url }}
        - name: LAUNCHER_NOTIFY_WEBHOOK_URL
          {{- /* The kubelet would put the value of a variable in place of $(NAME). */}}
          value: {{ $webhook.url | replace "$" "$$" | quote }}
        {{- end }}
      ports:
        - name: sentinel
          containerPort: 26379
          protocol: TCP
        - name: launcher
          containerPort: 8080
          protocol: TCP
      {{- include "redis-ha.probes" . | nindent 6 }}
      resources:
        {{- toYaml .Values.resources.sentinel | nindent 8 }}
      {{- include "redis-ha.containerSecurityContext" . | nindent 6 }}
      volumeMounts:
        - name: run
          mountPath: /run/redis-ha
        {{- include "redis-ha.settingsMount" . | nindent 8 }}
        {{- include "redis-ha.passwordMount" . | nindent 8 }}
        {{- include "redis-ha.tokenMount" . | nindent 8 }}
        {{- with include "redis-ha.tlsMount" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
  volumes:
    {{- include "redis-ha.runVolume" . | nindent 4 }}
    {{- include "redis-ha.settingsVolume" . | nindent 4 }}
    {{- include "redis-ha.passwordVolume" . | nindent 4 }}
    {{- include "redis-ha.tokenVolume" . | nindent 4 }}
    {{- with include "redis-ha.tlsVolume" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
{{- end -}}
