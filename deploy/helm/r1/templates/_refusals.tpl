{{/*
Values that can't work are refused when they are rendered, each with a sentence that names the value
and the mend. What a single value may be is said in values.schema.json; here is what values have to
do with each other. Each template gives sentences, a line each; the model plane's are in _checks.tpl.
*/}}

{{/* The store. */}}
{{- define "r1.refusals.redis" -}}
{{- $redis := .Values.redis -}}
{{- $external := $redis.external -}}
{{- $given := or $external.url $external.urlSecret.name -}}
{{- if and $redis.bundled $given }}
redis.external: names a Redis, but redis.bundled is true; set redis.bundled to false, or leave redis.external out
{{- end }}
{{- if and (not $redis.bundled) (not $given) }}
redis.external.url: there is no Redis, which holds keys and limits; give its URL, or set redis.bundled to true
{{- end }}
{{- if and $external.url $external.urlSecret.name }}
redis.external.urlSecret: is the whole URL, and so is redis.external.url; leave one of them out
{{- end }}
{{- range $field := list "url" "cacheUrl" }}
{{- with get $external $field }}
{{- if contains "@" . }}
redis.external.{{ $field }}: holds a user or a password, which everybody could read in the release; put them in redis.external.username and passwordSecret, or the whole URL in a Secret named by redis.external.urlSecret
{{- else if not (regexMatch "^rediss?(\\+(sentinel|cluster))?://[^/?]+" .) }}
redis.external.{{ $field }}: must begin with redis://, rediss:// (TLS), redis+sentinel:// or redis+cluster://, and name a host
{{- end }}
{{- end }}
{{- end }}
{{- if and $external.tls.secretName $external.url (not (hasPrefix "rediss" $external.url)) }}
redis.external.tls.secretName: is for TLS, but redis.external.url begins without; begin it with rediss, or leave the Secret out
{{- end }}
{{- if and $external.username (not $external.passwordSecret.name) }}
redis.external.username: has no password; name its Secret in redis.external.passwordSecret.name
{{- end }}
{{- $stores := dict -}}
{{- if $redis.bundled }}{{ $_ := set $stores "redis" $redis }}{{ end -}}
{{- if $redis.cache.bundled }}{{ $_ := set $stores "redis.cache" $redis.cache }}{{ end -}}
{{- if .Values.ray.redis.enabled }}{{ $_ := set $stores "ray.redis" .Values.ray.redis }}{{ end -}}
{{- range $name, $store := $stores }}
{{- with dig "resources" "limits" "memory" "" $store }}
{{- $limit := include "r1.mebibytes" . | int }}
{{- if gt (mulf $store.maxMemoryMiB 1.5 | int) $limit }}
{{ $name }}.maxMemoryMiB: {{ $store.maxMemoryMiB }} MiB of data need half as much again while the log is written anew, but {{ $name }}.resources.limits.memory is {{ . }}; raise it to {{ mulf $store.maxMemoryMiB 1.5 | ceil }}Mi, or lower maxMemoryMiB
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The gateway's pods and the ways to them. */}}
{{- define "r1.refusals.gateway" -}}
{{- $gateway := .Values.gateway -}}
{{- $scaling := $gateway.autoscaling -}}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) }}
gateway.autoscaling.minReplicas: {{ $scaling.minReplicas }} is above maxReplicas, {{ $scaling.maxReplicas }}; lower it
{{- end }}
{{- if and (eq $scaling.queueDepth.by "keda") (not $scaling.queueDepth.prometheus) }}
gateway.autoscaling.queueDepth.prometheus: KEDA has to know where Prometheus is; give its URL, such as http://prometheus.monitoring:9090
{{- end }}
{{- if and $gateway.service.nodePort (eq $gateway.service.type "ClusterIP") }}
gateway.service.nodePort: a Service of type ClusterIP has none; set gateway.service.type to NodePort, or leave it out
{{- end }}
{{- if and $gateway.ingress.enabled (not $gateway.ingress.hosts) }}
gateway.ingress.hosts: is empty, so the Ingress would lead nowhere; name a host
{{- end }}
{{- if and $gateway.httpRoute.enabled (not $gateway.httpRoute.parentRefs) }}
gateway.httpRoute.parentRefs: is empty, so the route belongs to no Gateway; name one
{{- end }}
{{- end -}}

{{/* The gateway's models and its configuration. */}}
{{- define "r1.refusals.models" -}}
{{- $root := . -}}
{{- $longest := include "r1.longestAnswerSeconds" . | int -}}
{{- $served := include "r1.servedModels" . | fromJsonArray -}}
{{- $gateway := .Values.gateway -}}
{{- if not (concat $served (keys $gateway.models)) }}
models: there is none to serve; name one, such as r1-nano: {hardware: cpu}, or one that is served elsewhere in gateway.models
{{- end }}
{{- if and $gateway.deepseekNames (not (has $gateway.deepseekNames $served)) }}
gateway.deepseekNames: {{ $gateway.deepseekNames }} is not served; give one of {{ join ", " $served }}
{{- end }}
{{- if and .Values.test.model (not (has .Values.test.model (concat $served (keys $gateway.models)))) }}
test.model: {{ .Values.test.model }} is not served; give one of {{ concat $served (keys $gateway.models) | sortAlpha | join ", " }}
{{- end }}
{{- range $id, $model := $gateway.models }}
{{- if and (not (has $id $served)) (not $model.upstreams) }}
gateway.models.{{ $id }}: is not in models, so it is served elsewhere; give its upstreams, or mend its name (served here: {{ join ", " $served }})
{{- end }}
{{- if gt (dig "timeouts" "total_s" 0 $model | int) $longest }}
gateway.models.{{ $id }}.timeouts.total_s: is longer than longestAnswer ({{ $longest }} s), by which everything else on the path goes; raise longestAnswer
{{- end }}
{{- range $number, $upstream := $model.upstreams }}
{{- with $upstream.key_file }}
{{- include "r1.refusals.file" (list $root (printf "gateway.models.%s.upstreams.%d.key_file" $id $number) .) }}
{{- end }}
{{- end }}
{{- with $model.discovery_key_file }}
{{- include "r1.refusals.file" (list $root (printf "gateway.models.%s.discovery_key_file" $id) .) }}
{{- end }}
{{- if and $root.Values.networkPolicy.enabled $model.upstreams (not $root.Values.networkPolicy.gatewayEgress) }}
networkPolicy.gatewayEgress: is empty, so gateways can't reach the upstreams of gateway.models.{{ $id }}; allow them, for instance - {to: [{ipBlock: {cidr: 203.0.113.7/32}}], ports: [{port: 443}]}
{{- end }}
{{- end }}
{{- range $field := list "pepper_file" "bootstrap_file" }}
{{- with dig "auth" $field "" $gateway.config }}
{{- include "r1.refusals.file" (list $root (printf "gateway.config.auth.%s" $field) .) }}
{{- end }}
{{- end }}
{{- with dig "listen" "drain_timeout_s" 0 $gateway.config }}
{{- if lt (int .) $longest }}
gateway.config.listen.drain_timeout_s: {{ . }} s is less than longestAnswer ({{ $longest }} s), so an upgrade would cut answers; leave it out
{{- end }}
{{- end }}
{{- with $gateway.rollingUpdate }}
{{- if and (eq 0 (int .maxSurge)) (eq 0 (int .maxUnavailable)) }}
gateway.rollingUpdate: allows neither one gateway more nor one less, so no upgrade would ever begin; raise maxSurge or maxUnavailable
{{- end }}
{{- end }}
{{- if and .Values.networkPolicy.enabled (dig "telemetry" "otlp_endpoint" "" $gateway.config) (not .Values.networkPolicy.gatewayEgress) }}
networkPolicy.gatewayEgress: is empty, so gateways can't reach gateway.config.telemetry.otlp_endpoint; allow it
{{- end }}
{{- end -}}

{{/* (root, value's name, file): a key file that no container of the gateway has. */}}
{{- define "r1.refusals.file" -}}
{{- $file := index . 2 -}}
{{- $mounted := list "/etc/r1/secrets/admin-token" "/etc/r1/secrets/bootstrap-keys" "/etc/r1/secrets/engine-key" "/etc/r1/secrets/pepper" | has $file -}}
{{- range (index . 0).Values.gateway.pod.extraVolumeMounts -}}
{{- if hasPrefix (printf "%s/" (trimSuffix "/" .mountPath)) $file }}{{ $mounted = true }}{{ end -}}
{{- if eq .mountPath $file }}{{ $mounted = true }}{{ end -}}
{{- end -}}
{{- if not $mounted }}
{{ index . 1 }}: {{ $file }} is not in the gateway's containers; mount its Secret with gateway.pod.extraVolumes and extraVolumeMounts
{{- end }}
{{- end -}}

{{/* All of them. */}}
{{- define "r1.refusals" -}}
{{- include "r1.refusals.redis" . }}
{{- include "r1.refusals.gateway" . }}
{{- include "r1.refusals.models" . }}
{{- include "r1.checks" . }}
{{- end -}}
