{{/*
The Serve configuration (serveConfigV2): one application a model, with the arguments of
serving.app:build. Secrets stand in the pods' environment, never here: Ray shows and logs this.
*/}}

{{/* (root, id): an application's arguments, as JSON. */}}
{{- define "r1.serve.arguments" -}}
{{- $root := index . 0 -}}
{{- $id := index . 1 -}}
{{- $model := get $root.Values.models $id -}}
{{- $made := dict
  "model" $id
  "hardware" $model.hardware
  "pool" (include "r1.model.pool" $id)
  "longest_answer_s" (include "r1.longestAnswerSeconds" $root | int64) -}}
{{- range $field := list "profile" "build" "engine" }}{{ with get $model $field }}{{ $_ := set $made $field . }}{{ end }}{{ end -}}
{{- with dig "weights" "source" "" $model }}{{ $_ := set $made "weights" . }}{{ end -}}
{{- with $model.adapters }}{{ $_ := set $made "adapters" . }}{{ end -}}
{{- with $model.maxAdapters }}{{ $_ := set $made "max_adapters" (int .) }}{{ end -}}
{{- with $model.anyGpu }}{{ $_ := set $made "any_gpu" . }}{{ end -}}
{{- with $model.kvParity }}{{ $_ := set $made "kv_parity" . }}{{ end -}}
{{- with $model.stallSeconds }}{{ $_ := set $made "stall_s" . }}{{ end -}}
{{- $bounds := include "r1.model.bounds" $model | fromJson -}}
{{- with $model.autoscaling -}}
{{- $scaling := dict "min_replicas" (int $bounds.least) "max_replicas" (int $bounds.most) -}}
{{- $names := dict "target" "target_ongoing_requests" "upscaleDelay" "upscale_delay_s" "downscaleDelay" "downscale_delay_s" "downscaleToZeroDelay" "downscale_to_zero_delay_s" "lookBack" "look_back_s" -}}
{{- range $name, $field := $names }}{{ if hasKey $model.autoscaling $name }}{{ $_ := set $scaling $field (get $model.autoscaling $name) }}{{ end }}{{ end -}}
{{- $_ := set $made "autoscaling" $scaling -}}
{{- else -}}
{{- $_ := set $made "replicas" (int $bounds.most) -}}
{{- end -}}
{{- with $model.surge -}}
{{- $_ := set $made "surge_percent" (max 1 (div (mul 100 (int .)) (int $bounds.most)) | min 100) -}}
{{- end -}}
{{- toJson $made -}}
{{- end -}}

{{/* The whole configuration. */}}
{{- define "r1.serve.config" -}}
{{- $root := . -}}
{{- $applications := list -}}
{{- range include "r1.model.ids" . | fromJsonArray -}}
{{- $applications = append $applications (dict
  "name" .
  "route_prefix" (printf "/%s" .)
  "import_path" "serving.app:build"
  "args" (include "r1.serve.arguments" (list $root .) | fromJson)) -}}
{{- end -}}
{{- dict
  "proxy_location" "HeadOnly"
  "http_options" (dict "host" "0.0.0.0" "port" 8000)
  "logging_config" (dict "enable_access_log" false)
  "applications" $applications | toYaml -}}
{{- end -}}

{{/* What of the applications makes other engines: not how many of them there are. */}}
{{- define "r1.serve.engines" -}}
{{- $root := index . 0 -}}
{{- omit (include "r1.serve.arguments" . | fromJson) "replicas" "autoscaling" "surge_percent" | toJson -}}
{{- end -}}
