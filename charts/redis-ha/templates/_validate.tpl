{{/* redis-ha.validate: stops the rendering with all problems of the values at once, one line each: value path, what is
wrong, what to set. Renders nothing. Input: the root context. */}}
{{- define "redis-ha.validate" -}}
{{- $problems := list -}}
{{- range splitList "\n" (include "redis-ha.problems" .) -}}
{{- if trim . -}}
{{- $problems = append $problems (trim . | printf "  %s") -}}
{{- end -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n\nThese values cannot give a working redis-ha, nothing was changed:\n%s\n" (join "\n" $problems)) -}}
{{- end -}}
{{- end -}}

{{/* redis-ha.problems: one line for each problem, empty if there is none. Input: the root context. */}}
{{- define "redis-ha.problems" -}}
{{ include "redis-ha.problems.keys" (dict "path" "" "value" .Values "shape" (include "redis-ha.keys" . | fromYaml)) }}
{{ include "redis-ha.problems.names" . }}
{{ include "redis-ha.problems.image" . }}
{{ include "redis-ha.problems.replicas" . }}
{{ include "redis-ha.problems.resources" . }}
{{ include "redis-ha.problems.lag" . }}
{{ include "redis-ha.problems.percent" . }}
{{ include "redis-ha.problems.config" . }}
{{ include "redis-ha.problems.access" . }}
{{ include "redis-ha.problems.webhook" . }}
{{ include "redis-ha.problems.backup" . }}
{{ include "redis-ha.problems.externalMaster" . }}
{{ include "redis-ha.problems.tls" . }}
{{ include "redis-ha.problems.security" . }}
{{ include "redis-ha.problems.token" . }}
{{ include "redis-ha.problems.admissionPolicy" . }}
{{ include "redis-ha.problems.volumes" . }}
{{ include "redis-ha.problems.unused" . }}
{{ include "redis-ha.problems.entries" . }}
{{ include "redis-ha.problems.tolerations" . }}
{{ include "redis-ha.problems.selectors" . }}
{{ include "redis-ha.runningProblems" . }}
{{ include "redis-ha.claimProblems" . }}
{{ include "redis-ha.tlsProblems" . }}
{{ include "redis-ha.admissionProblems" . }}
{{ include "redis-ha.accountProblems" . }}
{{ include "redis-ha.userProblems" . }}
{{- end -}}

{{/* redis-ha.runningProblems: values that would delete the servers of a running release. Helm keeps an object that has the annotation.
Without a cluster, as in helm template, nothing runs. An installation asks for no StatefulSet: a plain one needs no right to read them.
Input: the root context. */}}
{{- define "redis-ha.runningProblems" -}}
{{- $workload := .Values.servers.workload }}
{{- $other := ternary "Deployment" "StatefulSet" (eq $workload "StatefulSet") }}
{{- if or .Release.IsUpgrade (eq $other "Deployment") }}
{{- $name := printf "%s-server" (include "redis-ha.fullname" .) }}
{{- $running := lookup "apps/v1" $other .Release.Namespace $name }}
{{- if and $running (ne (dig "metadata" "annotations" "helm.sh/resource-policy" "" $running) "keep") }}
servers.workload: the servers run as a {{ $other }}, and Helm would delete them{{ if eq $other "Deployment" }} with their volumes{{ end }} while the servers of the {{ $workload }} are still empty; set {{ $other }}, or run "kubectl annotate {{ lower $other }} --namespace {{ .Release.Namespace }} {{ $name }} helm.sh/resource-policy=keep" before, and delete the {{ $other }} when the new servers are ready
{{- end }}
{{- end }}
{{- end -}}

{{/* redis-ha.claimProblems: values of persistence that differ from the claims of the running StatefulSet. The API server refuses any change of
them, with a text that names no value. Input: the root context. */}}
{{- define "redis-ha.claimProblems" -}}
{{- if and .Release.IsUpgrade (eq .Values.servers.workload "StatefulSet") }}
{{- $name := printf "%s-server" (include "redis-ha.fullname" .) }}
{{- $running := lookup "apps/v1" "StatefulSet" .Release.Namespace $name }}
{{- $wanted := include "redis-ha.serverClaim" . | fromYaml }}
{{- range dig "spec" "volumeClaimTemplates" list (default dict $running) }}
{{- $remedy := printf "Kubernetes does not change them; set it back, or delete the StatefulSet without its pods before: kubectl delete statefulset --namespace %s %s --cascade=orphan (see \"Volumes that stay\" in docs/operations.md)" $.Release.Namespace $name }}
{{- $size := .spec.resources.requests.storage }}
{{- if ne (include "redis-ha.amount" $size) (include "redis-ha.amount" $wanted.spec.resources.requests.storage) }}
persistence.size: the volumes of the running StatefulSet were asked for with {{ $size }}. {{ $remedy }}
{{- end }}
{{- if ne (toJson .spec.accessModes) (toJson $wanted.spec.accessModes) }}
persistence.accessModes: the volumes of the running StatefulSet were asked for with {{ join ", " .spec.accessModes }}. {{ $remedy }}
{{- end }}
{{- if ne (toJson .spec.storageClassName) (toJson $wanted.spec.storageClassName) }}
persistence.storageClass: the volumes of the running StatefulSet were asked for with {{ ternary "the default class" (toJson .spec.storageClassName) (kindIs "invalid" .spec.storageClassName) }}. {{ $remedy }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* redis-ha.problems.names: names that Kubernetes would refuse or that would be cut. The longest suffix of an object name
is "-master-svc" (11 characters), the longest of a label "-sentinel-svc" (13); both must fit in 63. The label controller-revision-hash of
the pods of a StatefulSet is the name of the StatefulSet, "-" and a hash of up to 10 characters. */}}
{{- define "redis-ha.problems.names" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" $name) }}
nameOverride: {{ $name | quote }} is not a DNS label; use lower-case letters, digits and "-"
{{- end }}
{{- if gt (len $name) 50 }}
nameOverride: {{ len $name }} characters are too long; use at most 50
{{- end }}
{{- $fullname := default (printf "%s-%s" .Release.Name $name) .Values.fullnameOverride }}
{{- $path := ternary "fullnameOverride" "release name" (not (empty .Values.fullnameOverride)) }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $fullname) }}
{{ $path }}: the full name {{ $fullname | quote }} cannot name a Service; set fullnameOverride to lower-case letters, digits and "-", with a letter first
{{- end }}
{{- if and (gt (len $fullname) 45) (eq .Values.servers.workload "StatefulSet") }}
{{ $path }}: the full name {{ $fullname | quote }} has {{ len $fullname }} characters, and Kubernetes puts the name of a StatefulSet and 11 characters more into a label of its pods, which is at most 63; set fullnameOverride to at most 45 characters
{{- else if gt (len $fullname) 52 }}
{{ $path }}: the full name {{ $fullname | quote }} has {{ len $fullname }} characters, with "-master-svc" more than 63; set fullnameOverride to at most 52 characters
{{- end }}
{{- end -}}

{{/* redis-ha.problems.image: an image that no registry can have, or that is another one tomorrow. */}}
{{- define "redis-ha.problems.image" -}}
{{- $image := .Values.redis_image }}
{{- $label := "[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?" }}
{{- $registry := printf "(%s(\\.%s)*|\\[[0-9A-Fa-f:]+\\])(:[0-9]{1,5})?/" $label $label }}
{{- $part := "[a-z0-9]+((\\.|__?|-+)[a-z0-9]+)*" }}
{{- if not (regexMatch (printf "^(%s)?%s(/%s)*(:\\w[\\w.-]{0,127})?(@sha256:[0-9a-f]{64})?$" $registry $part $part) $image) }}
redis_image: {{ $image | quote }} cannot name an image; use lower-case letters, digits, ".", "_", "-" and "/", and a tag or a whole digest, such as {{ .Chart.Name }}:{{ .Chart.AppVersion }}
{{- else if not (regexMatch "(:[\\w.-]+|@sha256:[0-9a-f]{64})$" $image) }}
redis_image: {{ $image | quote }} has neither a tag nor a digest, so a pod that is replaced may run another version than its peers; add one, such as {{ .Chart.Name }}:{{ .Chart.AppVersion }}
{{- else if regexMatch ":(latest|stable|edge|nightly|canary|snapshot|main|master|head|develop)$" $image }}
redis_image: {{ $image | quote }} is another image with every release, so a pod that is replaced may run another version than its peers; set a tag such as {{ .Chart.Name }}:{{ .Chart.AppVersion }}
{{- end }}
{{- end -}}

{{/* redis-ha.range: the legal numbers of a message, "2 to 3" or "2". Input: list of the lowest and the highest. */}}
{{- define "redis-ha.range" -}}
{{- index . 0 -}}
{{- if gt (int (index . 1)) (int (index . 0)) }} to {{ index . 1 }}{{ end -}}
{{- end -}}

{{/* redis-ha.problems.replicas: numbers of pods, quorum and min-replicas that contradict each other. */}}
{{- define "redis-ha.problems.replicas" -}}
{{- $servers := int .Values.replicas.servers }}
{{- $sentinels := int .Values.replicas.sentinels }}
{{- if lt (float64 .Values.replicas.servers) 1.0 }}
replicas.servers: {{ .Values.replicas.servers }} leaves no Redis{{ if eq .Values.servers.workload "Deployment" }}, and the volumes go away with their pods{{ end }}; set at least 1, or 3 to survive the loss of one
{{- else if gt (float64 .Values.replicas.servers) 50.0 }}
replicas.servers: {{ .Values.replicas.servers }} is more than the chart is made for; set at most 50
{{- end }}
{{- if lt (float64 .Values.replicas.sentinels) 1.0 }}
replicas.sentinels: {{ .Values.replicas.sentinels }} leaves nobody to notice a failure; set 1 or 3
{{- else if gt (float64 .Values.replicas.sentinels) 15.0 }}
replicas.sentinels: {{ .Values.replicas.sentinels }} is more than the chart is made for; set at most 15
{{- else if eq (mod $sentinels 2) 0 }}
replicas.sentinels: {{ $sentinels }} is even, which survives no more failures than {{ sub $sentinels 1 }} and can split in halves; set {{ sub $sentinels 1 }} or {{ add1 $sentinels }}
{{- end }}
{{- $majority := int (include "redis-ha.majority" .) }}
{{- if not (kindIs "invalid" .Values.sentinel.quorum) }}
{{- $quorum := int .Values.sentinel.quorum }}
{{- $most := ternary $sentinels (sub $sentinels 1 | int) (le $sentinels 1) }}
{{- $instead := printf "set %s, or remove it for the majority" (include "redis-ha.range" (list $majority $most)) }}
{{- if lt $sentinels 1 }}
{{- else if gt $quorum $sentinels }}
sentinel.quorum: {{ $quorum }} is more than the {{ $sentinels }} of replicas.sentinels, no failover would ever start; {{ $instead }}
{{- else if gt $quorum $most }}
sentinel.quorum: {{ $quorum }} is every one of the {{ $sentinels }} of replicas.sentinels, no failover would start while one of them is drained or restarts; {{ $instead }}
{{- else if lt $quorum $majority }}
sentinel.quorum: {{ $quorum }} is less than the majority of {{ $sentinels }} sentinels, a minority could call the master down; {{ $instead }}
{{- end }}
{{- end }}
{{- if not (kindIs "invalid" .Values.servers.minReplicasToWrite) }}
{{- $min := int .Values.servers.minReplicasToWrite }}
{{- if and (ge $servers 1) (ge $min $servers) }}
servers.minReplicasToWrite: {{ $min }} slaves cannot be connected with {{ $servers }} in replicas.servers, no write would ever be accepted; set {{ include "redis-ha.range" (list 0 (sub $servers 1)) }}, or replicas.servers to {{ add1 $min }}
{{- end }}
{{- end }}
{{- end -}}

{{/* redis-ha.problems.access: passwords and service accounts that contradict each other. Never prints a password. */}}
{{- define "redis-ha.problems.access" -}}
{{- $password := toString (default "" .Values.redisPassword) }}
{{- if and $password .Values.existingSecret }}
redisPassword, existingSecret: both are set; set one of them
{{- end }}
{{- if and $password (not .Values.auth) }}
redisPassword: has no effect while auth is false; set auth to true, or remove redisPassword
{{- end }}
{{- if and .Values.existingSecret (not .Values.auth) }}
existingSecret: has no effect while auth is false; set auth to true, or remove existingSecret
{{- end }}
{{- if and (not .Values.existingSecret) (ne (default "auth" .Values.existingSecretPasswordKey) "auth") }}
existingSecretPasswordKey: has no effect without existingSecret; set that to the Secret with this key, or remove the key
{{- end }}
{{- if and .Values.existingSecret (eq .Values.existingSecret (include "redis-ha.fullname" .)) }}
existingSecret: {{ .Values.existingSecret | quote }} is the Secret that the chart makes where existingSecret is empty, and an upgrade from there to here would delete it; set another name
{{- end }}
{{- if regexMatch "\\p{Cc}" $password }}
redisPassword: contains a control character such as a line break; use printable characters (mind a newline at the end of a file)
{{- end }}
{{- if gt (len $password) 512 }}
redisPassword: {{ len $password }} bytes are too long; use at most 512
{{- end }}
{{- if and (not .Values.rbac.create) (not .Values.serviceAccount.name) }}
rbac.create: false leaves the pods without the rights they need; set serviceAccount.name to an account that has them, or rbac.create to true
{{- end }}
{{- if and .Values.serviceAccount.create (eq (default "" .Values.serviceAccount.name) "default") }}
serviceAccount.name: the account "default" is there already in every namespace; set serviceAccount.create to false to use it, or another name
{{- end }}
{{- if and (.Values.networkPolicy).clients (not .Values.networkPolicy.enabled) }}
networkPolicy.clients: keeps nobody out while networkPolicy.enabled is false; set that to true, or remove the clients
{{- end }}
{{- if and (.Values.networkPolicy).scrapers (not .Values.networkPolicy.enabled) }}
networkPolicy.scrapers: has no effect while networkPolicy.enabled is false, as everybody may read the metrics then; set that to true, or remove the scrapers
{{- end }}
{{- end -}}

{{/* redis-ha.problems.unused: values that differ from their default and have no effect beside the others. */}}
{{- define "redis-ha.problems.unused" -}}
{{- if not .Values.persistence.enabled }}
{{- range $key, $default := dict "size" "10Gi" "storageClass" "" "accessModes" (list "ReadWriteOnce") }}
{{- if ne (toJson (default $default (get $.Values.persistence $key))) (toJson $default) }}
persistence.{{ $key }}: has no effect while persistence.enabled is false; set that to true, or remove {{ $key }}
{{- end }}
{{- end }}
{{- end }}
{{- range $key, $value := .Values.persistence.retention }}
{{- if and (ne $value "Retain") (ne $.Values.servers.workload "StatefulSet") }}
persistence.retention.{{ $key }}: has no effect on a Deployment, whose volumes go away with their pods; remove it, or set servers.workload to StatefulSet
{{- end }}
{{- end }}
{{- if and (ne (int .Values.servers.minReplicasMaxLagSeconds) 3) (eq (include "redis-ha.minReplicasToWrite" .) "0") }}
servers.minReplicasMaxLagSeconds: has no effect while no slave is needed to write (servers.minReplicasToWrite is 0, as it is by default with one server); remove it, or set servers.minReplicasToWrite
{{- end }}
{{- if and (eq (int .Values.replicas.servers) 1) (not (kindIs "invalid" .Values.servers.maxReplicationLag)) }}
servers.maxReplicationLag: has no effect with one server, which has no slave; remove it, or set replicas.servers to at least 2
{{- end }}
{{- if and (ne (int .Values.servers.maxmemoryPercent) 75) (hasKey (default dict .Values.servers.config) "maxmemory") }}
servers.maxmemoryPercent: has no effect beside servers.config.maxmemory, which wins; remove one of them
{{- end }}
{{- with .Values.networkPolicy }}
{{- if and (not .enabled) (ne (toJson .apiServerPorts) "[443,6443]") }}
networkPolicy.apiServerPorts: opens nothing while networkPolicy.enabled is false; set that to true, or remove the ports
{{- end }}
{{- end }}
{{- if eq (toString .Values.enabled) "false" }}
enabled: false is for the condition of a parent chart, which leaves this chart out; remove it, or add that condition to the dependency
{{- end }}
{{- end -}}
