{{/*
The gateway's configuration file, from the values and the catalog (files/catalog.yaml).
*/}}

{{/* The ids of the models that this release serves, as JSON, sorted. */}}
{{- define "r1.servedModels" -}}
{{- $served := list -}}
{{- range $id, $model := .Values.models -}}
{{- if dig "enabled" true $model }}{{ $served = append $served $id }}{{ end -}}
{{- end -}}
{{- $served | sortAlpha | toJson -}}
{{- end -}}

{{/* The id of the model that answers to DeepSeek's names: the given one, or the largest. */}}
{{- define "r1.deepseekNames" -}}
{{- $catalog := .Files.Get "files/catalog.yaml" | fromYaml -}}
{{- $largest := "" -}}
{{- $most := 0.0 -}}
{{- range include "r1.servedModels" . | fromJsonArray -}}
{{- $size := dig . "parametersMillions" 0.0 $catalog | float64 -}}
{{- if gt $size $most }}{{ $largest = . }}{{ $most = $size }}{{ end -}}
{{- end -}}
{{- default $largest .Values.gateway.deepseekNames -}}
{{- end -}}

{{/* (root, id): a served model as the gateway's configuration has it. */}}
{{- define "r1.gatewayModel" -}}
{{- $root := index . 0 -}}
{{- $id := index . 1 -}}
{{- $model := get $root.Values.models $id -}}
{{- $known := dig $id (dict) ($root.Files.Get "files/catalog.yaml" | fromYaml) -}}
{{- $aliases := dig "aliases" list $known -}}
{{- $aliases = without $aliases "deepseek-r1" "deepseek-reasoner" -}}
{{- if eq $id (include "r1.deepseekNames" $root) -}}
{{- $aliases = without (concat $aliases (list "deepseek-r1" "deepseek-reasoner")) $id -}}
{{- end -}}
{{- /* An alias that is a served model's id is that model's. */ -}}
{{- range include "r1.servedModels" $root | fromJsonArray }}{{ $aliases = without $aliases . }}{{ end -}}
{{- $engineKey := "/etc/r1/secrets/engine-key" -}}
{{- $made := dict
  "id" $id
  "aliases" $aliases
  "timeouts" (dict "total_s" (include "r1.longestAnswerSeconds" $root | int64))
  "discovery" "registry"
  "discovery_key_file" $engineKey
  "upstreams" (list (dict
    "url" (printf "http://%s-serve:8000/%s" (include "r1.fullname" $root) $id)
    "key_file" $engineKey)) -}}
{{- with dig "engine" "max_model_len" (dig "contextLength" 0 $known) $model }}{{ $_ := set $made "context_length" (int64 .) }}{{ end -}}
{{- range $name := list "defaults" "prices" }}{{ with get $known $name }}{{ $_ := set $made $name . }}{{ end }}{{ end -}}
{{- /* The first replica's start is worth waiting for. */ -}}
{{- if eq 0 (dig "autoscaling" "min" 1 $model | int) }}{{ $_ := set $made "batching" (dict "longest_wait_s" (include "r1.longestAnswerSeconds" $root | int64)) }}{{ end -}}
{{- mergeOverwrite $made (get $root.Values.gateway.models $id | default dict | deepCopy) | toJson -}}
{{- end -}}

{{/* The whole file. */}}
{{- define "r1.gatewayConfig" -}}
{{- $root := . -}}
{{- $models := list -}}
{{- $served := include "r1.servedModels" . | fromJsonArray -}}
{{- range $served }}{{ $models = append $models (include "r1.gatewayModel" (list $root .) | fromJson) }}{{ end -}}
{{- range $id, $given := .Values.gateway.models -}}
{{- if not (has $id $served) -}}
{{- $made := dict "id" $id "timeouts" (dict "total_s" (include "r1.longestAnswerSeconds" $root | int64)) -}}
{{- $models = append $models (mergeOverwrite $made (deepCopy $given)) -}}
{{- end -}}
{{- end -}}
{{- $made := dict
  "listen" (dict "host" "0.0.0.0" "port" 8080 "workers" (int64 .Values.gateway.workers))
  "admin" (dict "host" "0.0.0.0" "port" 8081 "key_file" "/etc/r1/secrets/admin-token")
  "auth" (dict "pepper_file" "/etc/r1/secrets/pepper" "bootstrap_file" "/etc/r1/secrets/bootstrap-keys")
  "models" $models -}}
{{- mergeOverwrite $made (deepCopy .Values.gateway.config) | toYaml -}}
{{- end -}}
