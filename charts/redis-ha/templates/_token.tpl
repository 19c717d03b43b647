{{/* redis-ha.tokenVolume: the token of the service account for the API server, with the authorities of the API server and the namespace, as the
kubelet would mount it by itself. A token that a pod asks for ends when the pod asks for it to end: the API server makes the kubelet's own ones
good for a year. The kubelet renews it after four fifths of its time. Values that `helm upgrade --reuse-values` keeps may lack the section.
Input: the root context. */}}
{{- define "redis-ha.tokenVolume" -}}
{{- $token := default dict .Values.serviceAccount.token -}}
- name: token
  projected:
    sources:
      - serviceAccountToken:
          path: token
          {{- with $token.audience }}
          audience: {{ . | quote }}
          {{- end }}
          expirationSeconds: {{ int (default 14400 $token.expirationSeconds) }}
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                fieldPath: metadata.namespace
{{- end -}}

{{/* redis-ha.tokenMount: where clients of the API server look for it. */}}
{{- define "redis-ha.tokenMount" -}}
- name: token
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- end -}}
