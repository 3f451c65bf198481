{{/*
Where the store is (keys, limits, cache, registry): the bundled Redis, or the user's. A URL holds a
password, so it is put together in a container's environment, from a Secret.
*/}}

{{/* (root, variable): environment variables that end in `variable`, the store's URL. */}}
{{- define "r1.storeEnv" -}}
{{- $root := index . 0 -}}
{{- $external := $root.Values.redis.external -}}
{{- if $root.Values.redis.bundled -}}
{{ include "r1.storePassword" $root }}
- name: {{ index . 1 }}
  value: {{ include "r1.storeUrl" (list $root (printf "redis://%s-redis:6379/0" (include "r1.fullname" $root))) }}
{{- else if $external.urlSecret.name -}}
{{ include "r1.envFrom" (list (index . 1) $external.urlSecret.name $external.urlSecret.key) }}
{{- else -}}
{{ include "r1.storePassword" $root }}
- name: {{ index . 1 }}
  value: {{ include "r1.storeUrl" (list $root $external.url) }}
{{- end -}}
{{- end -}}

{{/* (root, variable): the same for answers, nothing where they are in the same Redis; after
r1.storeEnv. */}}
{{- define "r1.storeCacheEnv" -}}
{{- $root := index . 0 -}}
{{- $own := printf "redis://%s-redis-cache:6379/0" (include "r1.fullname" $root) -}}
{{- $url := ternary $own $root.Values.redis.external.cacheUrl $root.Values.redis.cache.bundled -}}
{{- with $url -}}
- name: {{ index $ 1 }}
  value: {{ include "r1.storeUrl" (list $root .) }}
{{- end -}}
{{- end -}}

{{- define "r1.storePassword" -}}
{{- $secret := .Values.redis.external.passwordSecret -}}
{{- if .Values.redis.bundled -}}
{{ include "r1.secretEnv" (list . "R1_STORE_PASSWORD" "redis-password") }}
{{- else if $secret.name -}}
{{ include "r1.envFrom" (list "R1_STORE_PASSWORD" $secret.name $secret.key) }}
{{- end -}}
{{- end -}}

{{/* (root, url): the URL with user, password and files of TLS. */}}
{{- define "r1.storeUrl" -}}
{{- $values := (index . 0).Values.redis -}}
{{- $external := $values.external -}}
{{- $parts := splitn "://" 2 (index . 1) -}}
{{- $who := ternary ":$(R1_STORE_PASSWORD)@" "" $values.bundled -}}
{{- if and (not $values.bundled) $external.passwordSecret.name }}{{ $who = printf "%s:$(R1_STORE_PASSWORD)@" $external.username }}{{ end -}}
{{- $files := list -}}
{{- if and (not $values.bundled) $external.tls.secretName -}}
{{- range $option, $key := dict "ssl_ca_certs" $external.tls.ca "ssl_certfile" $external.tls.cert "ssl_keyfile" $external.tls.key -}}
{{- with $key }}{{ $files = append $files (printf "%s=/etc/r1/redis-tls/%s" $option .) }}{{ end -}}
{{- end -}}
{{- end -}}
{{ $parts._0 }}://{{ $who }}{{ $parts._1 }}{{ with $files }}{{ ternary "&" "?" (contains "?" $parts._1) }}{{ join "&" . }}{{ end }}
{{- end -}}

{{/* The volume with an external Redis' certificates, for pods with r1.storeEnv; nothing without. */}}
{{- define "r1.storeVolume" -}}
{{- if not .Values.redis.bundled -}}
{{- with .Values.redis.external.tls.secretName -}}
- name: redis-tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "r1.storeVolumeMount" -}}
{{- if and (not .Values.redis.bundled) .Values.redis.external.tls.secretName -}}
- name: redis-tls
  mountPath: /etc/r1/redis-tls
  readOnly: true
{{- end -}}
{{- end -}}
