{{/* redis-ha.tls: whether everything is encrypted: "true", else empty. Values that `helm upgrade --reuse-values` keeps may lack the section.
Input: the root context. */}}
{{- define "redis-ha.tls" -}}
{{- if (.Values.tls).enabled -}}true{{- end -}}
{{- end -}}

{{/* redis-ha.tlsSecretName: the Secret with the certificate. Input: the root context. */}}
{{- define "redis-ha.tlsSecretName" -}}
{{- default (printf "%s-tls" (include "redis-ha.fullname" .)) .Values.tls.existingSecret -}}
{{- end -}}

{{/* redis-ha.tlsNames: the names that clients check, as JSON: those of the Services, and of the own pod. Input: the root context. */}}
{{- define "redis-ha.tlsNames" -}}
{{- $names := list "localhost" -}}
{{- range $suffix := list "" "-master-svc" "-slave-svc" "-sentinel" -}}
{{- $service := printf "%s%s" (include "redis-ha.fullname" $) $suffix -}}
{{- range $domain := list "" (printf ".%s" $.Release.Namespace) (printf ".%s.svc" $.Release.Namespace) (printf ".%s.svc.cluster.local" $.Release.Namespace) -}}
{{- $names = append $names (printf "%s%s" $service $domain) -}}
{{- end -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{/* redis-ha.tlsEnv: where the launcher finds the certificate, empty where nothing is encrypted. Input: the root context. */}}
{{- define "redis-ha.tlsEnv" -}}
{{- if include "redis-ha.tls" . }}
- name: LAUNCHER_TLS_CERT_FILE
  value: /etc/redis-ha-tls/tls.crt
- name: LAUNCHER_TLS_KEY_FILE
  value: /etc/redis-ha-tls/tls.key
- name: LAUNCHER_TLS_CA_FILE
  value: /etc/redis-ha-tls/ca.crt
- name: LAUNCHER_TLS_AUTH_CLIENTS
  value: {{ .Values.tls.authClients | quote }}
{{- end }}
{{- end -}}

{{/* redis-ha.tlsVolume: certificate, key and authorities, and nothing else of the Secret. It is mounted as a folder: the kubelet never
refreshes a single file. Empty where nothing is encrypted. Input: the root context. */}}
{{- define "redis-ha.tlsVolume" -}}
{{- if include "redis-ha.tls" . }}
- name: tls
  secret:
    secretName: {{ include "redis-ha.tlsSecretName" . | quote }}
    defaultMode: 0440
    items:
      - key: {{ .Values.tls.certFilename | quote }}
        path: tls.crt
      - key: {{ .Values.tls.certKeyFilename | quote }}
        path: tls.key
      - key: {{ .Values.tls.certCAFilename | quote }}
        path: ca.crt
{{- end }}
{{- end -}}

{{/* redis-ha.tlsMount: where the launcher looks for it, empty where nothing is encrypted. Input: the root context. */}}
{{- define "redis-ha.tlsMount" -}}
{{- if include "redis-ha.tls" . }}
- name: tls
  mountPath: /etc/redis-ha-tls
  readOnly: true
{{- end }}
{{- end -}}
