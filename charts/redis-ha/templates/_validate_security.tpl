{{/* redis-ha.problems.security: security contexts that open a hole, or with which a pod could not read its files. */}}
{{- define "redis-ha.problems.security" -}}
{{- with .Values.podSecurityContext }}
{{- $root := dict "runAsUser" "the pods would run as root" "fsGroup" "the files on the volumes would belong to the group of root" }}
{{- range $field, $number := pick . "runAsUser" "runAsGroup" "fsGroup" }}
{{- if kindIs "invalid" $number }}
{{- else if lt (int64 $number) 0 }}
podSecurityContext.{{ $field }}: {{ int64 $number }} is no number of a user or a group; set 1 to 2147483647, or null to leave it to the cluster
{{- else if and (eq (int64 $number) 0) (get $root $field) }}
podSecurityContext.{{ $field }}: is 0, and {{ get $root $field }}; set 1 to 2147483647, or null to leave it to the cluster
{{- end }}
{{- end }}
{{- if and (hasKey . "runAsNonRoot") (ne (toString .runAsNonRoot) "true") }}
podSecurityContext.runAsNonRoot: would let the pods run as root; set true, or remove it
{{- end }}
{{- if and (kindIs "invalid" .fsGroup) (ne (toString (default 0 .runAsGroup)) "0") }}
podSecurityContext.fsGroup: is null, and with the group {{ int64 .runAsGroup }} the pods could read neither certificates nor volumes that belong to root; set runAsGroup to null as well, or fsGroup to a number
{{- end }}
{{- end }}
{{- with .Values.containerSecurityContext }}
{{- range $field, $legal := dict "allowPrivilegeEscalation" "false" "privileged" "false" "readOnlyRootFilesystem" "true" "runAsNonRoot" "true" }}
{{- if and (hasKey $.Values.containerSecurityContext $field) (ne (toString (get $.Values.containerSecurityContext $field)) $legal) }}
containerSecurityContext.{{ $field }}: would open a way out of the containers; set {{ $legal }}, or remove it
{{- end }}
{{- end }}
{{- if and (hasKey . "capabilities") (not (has "ALL" (default list (.capabilities).drop))) }}
containerSecurityContext.capabilities.drop: leaves capabilities to the containers, which need none; set it to a list with ALL, or remove it
{{- end }}
{{- end }}
{{- end -}}

{{/* redis-ha.problems.token: a token that is not what its number says. The API server knows the kubelet's own tokens by their number of seconds
(WarnOnlyBoundTokenExpirationSeconds in its package serviceaccount). */}}
{{- define "redis-ha.problems.token" -}}
{{- if eq (int (.Values.serviceAccount.token).expirationSeconds) 3607 }}
serviceAccount.token.expirationSeconds: 3607 is the number by which the API server knows the kubelet's own tokens, and such a token is good for a year; set 3600
{{- end }}
{{- end -}}

{{/* redis-ha.problems.admissionPolicy: a policy that would limit others. */}}
{{- define "redis-ha.problems.admissionPolicy" -}}
{{- if and (.Values.admissionPolicy).enabled (eq (include "redis-ha.serviceAccountName" .) "default") }}
admissionPolicy.enabled: the pods have the account "default", with which other pods of the namespace could not change pods any more; set serviceAccount.create to true, or serviceAccount.name to an account of this release
{{- end }}
{{- end -}}

{{/* redis-ha.admissionProblems: a cluster without the kind, which Helm would refuse with a text that names no value. Only a cluster tells its
kinds: helm template knows groups and versions. Input: the root context. */}}
{{- define "redis-ha.admissionProblems" -}}
{{- $kinds := .Capabilities.APIVersions }}
{{- if and (.Values.admissionPolicy).enabled ($kinds.Has "apps/v1/Deployment") (not ($kinds.Has "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy")) }}
admissionPolicy.enabled: the cluster has no ValidatingAdmissionPolicy of admissionregistration.k8s.io/v1, which came with Kubernetes 1.30; set it to false
{{- end }}
{{- end -}}

{{/* redis-ha.accountProblems: an admission policy for the account of another release, which keeps the launchers of that release from labelling
their pods. Only a cluster tells its pods. Input: the root context. */}}
{{- define "redis-ha.accountProblems" -}}
{{- if (.Values.admissionPolicy).enabled }}
{{- $account := include "redis-ha.serviceAccountName" . }}
{{- $others := list }}
{{- range (lookup "v1" "Pod" .Release.Namespace "").items }}
{{- $labels := default dict .metadata.labels }}
{{- if and (eq (default "" .spec.serviceAccountName) $account) (hasKey $labels "redis-role") (ne (default "" $labels.release) $.Release.Name) }}
{{- $others = append $others (default "" $labels.release) }}
{{- end }}
{{- end }}
{{- range uniq $others }}
admissionPolicy.enabled: the release {{ . | quote }} has the account {{ $account | quote }} too, and its launchers could not label their pods any more; give each release an account of its own, or set it to false
{{- end }}
{{- end }}
{{- end -}}

{{/* redis-ha.userProblems: another user for the volumes of the running StatefulSet, while the kubelet leaves their files to the user before. It gives
them to fsGroup where the folder of the volume belongs to another group, or with the policy Always. Input: the root context. */}}
{{- define "redis-ha.userProblems" -}}
{{- if and .Release.IsUpgrade (eq .Values.servers.workload "StatefulSet") }}
{{- $running := lookup "apps/v1" "StatefulSet" .Release.Namespace (printf "%s-server" (include "redis-ha.fullname" .)) }}
{{- $before := dig "spec" "template" "spec" "securityContext" dict (default dict $running) }}
{{- $wanted := (include "redis-ha.podSecurityContext" . | fromYaml).securityContext }}
{{- $changed := and $before.runAsUser $wanted.runAsUser (ne (int64 $before.runAsUser) (int64 $wanted.runAsUser)) }}
{{- $given := and $wanted.fsGroup (or (eq (default "" $wanted.fsGroupChangePolicy) "Always") (ne (int64 $before.fsGroup) (int64 $wanted.fsGroup))) }}
{{- if and $changed (not $given) }}
podSecurityContext.runAsUser: is {{ int64 $wanted.runAsUser }}, and the volumes of the running StatefulSet have files that only the user {{ int64 $before.runAsUser }} may write; set podSecurityContext.fsGroup to another number as well, or fsGroupChangePolicy to Always, or runAsUser back
{{- end }}
{{- end }}
{{- end -}}
