{{/* redis-ha.podSecurityContext: the user of the pods, as the Pod Security Standard "restricted" asks. A value that is null is left to the cluster.
Values that `helm upgrade --reuse-values` keeps may lack the section. Input: the root context. */}}
{{- define "redis-ha.podSecurityContext" -}}
{{- $given := .Values.podSecurityContext -}}
{{- if not (kindIs "map" $given) -}}
{{- $given = dict "runAsUser" 10001 "runAsGroup" 10001 "fsGroup" 10001 "fsGroupChangePolicy" "OnRootMismatch" -}}
{{- end -}}
securityContext:
  runAsNonRoot: true
  {{- range $field := list "runAsUser" "runAsGroup" "fsGroup" }}
  {{- if not (kindIs "invalid" (index $given $field)) }}
  {{ $field }}: {{ index $given $field | int64 }}
  {{- end }}
  {{- end }}
  {{- with $given.fsGroupChangePolicy }}
  fsGroupChangePolicy: {{ . }}
  {{- end }}
  {{- with $given.supplementalGroups }}
  supplementalGroups:
    {{- range . }}
    - {{ int64 . }}
    {{- end }}
  {{- end }}
  {{- with ($given.seLinuxOptions).level }}
  seLinuxOptions:
    level: {{ . | quote }}
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{/* redis-ha.containerSecurityContext: no rights and a read-only root file system. The values cannot change that: redis-ha.problems.security refuses
what would. They add the fields that a policy of the cluster wants to see. Input: the root context. */}}
{{- define "redis-ha.containerSecurityContext" -}}
{{- $given := default dict .Values.containerSecurityContext -}}
securityContext:
  allowPrivilegeEscalation: false
  {{- range $field := list "privileged" "runAsNonRoot" }}
  {{- if kindIs "bool" (get $given $field) }}
  {{ $field }}: {{ get $given $field }}
  {{- end }}
  {{- end }}
  readOnlyRootFilesystem: true
  capabilities:
    drop:
      {{- range default (list "ALL") ($given.capabilities).drop }}
      - {{ . }}
      {{- end }}
{{- end -}}
