{{/*
What is known of a model of `.Values.models`: names, ranks, workers. The values say it, or it follows
from the hardware.
*/}}

{{/* The ids of all enabled models as JSON, sorted. */}}
{{- define "r1.model.ids" -}}
{{- $ids := list -}}
{{- range $id, $model := .Values.models }}{{ if dig "enabled" true $model }}{{ $ids = append $ids $id }}{{ end }}{{ end -}}
{{- sortAlpha $ids | toJson -}}
{{- end -}}

{{/* Whether there is anything for Ray to serve: a gateway alone, in front of servers elsewhere, starts
nothing of it. Empty for no. */}}
{{- define "r1.ray.wanted" -}}
{{- if include "r1.model.ids" . | fromJsonArray }}yes{{ end -}}
{{- end -}}

{{/* A model's id as part of an object's name. */}}
{{- define "r1.model.slug" -}}
{{- lower . | replace "." "-" | replace "_" "-" -}}
{{- end -}}

{{/* (root, id): what follows the release's name in that of a model's workers. Kubernetes appends to
it and allows 63 characters. */}}
{{- define "r1.model.suffix" -}}
{{- $room := sub 51 (len (include "r1.fullname" (index . 0))) | int -}}
{{- printf "ray-%s" (include "r1.model.slug" (index . 1)) | trunc $room | trimSuffix "-" -}}
{{- end -}}

{{/* What a model's Ray nodes offer and its ranks take one of each. */}}
{{- define "r1.model.pool" -}}model:{{ . }}{{- end -}}

{{/* The model's GPUs a pod; 0 on processors. */}}
{{- define "r1.model.gpus" -}}
{{- ternary 0 (dig "pod" "gpus" 1 .) (hasPrefix "cpu" .hardware) -}}
{{- end -}}

{{/* The ranks of the engine that run in one pod. */}}
{{- define "r1.model.ranks" -}}
{{- $engine := default dict .engine -}}
{{- if hasPrefix "cpu" .hardware -}}
{{- mul (dig "tensor_parallel_size" 1 $engine) (dig "pipeline_parallel_size" 1 $engine) -}}
{{- else -}}
{{- include "r1.model.gpus" . -}}
{{- end -}}
{{- end -}}

{{/* The image of the model's pods. */}}
{{- define "r1.model.image" -}}
{{- ternary "serving-cpu" "serving-gpu" (hasPrefix "cpu" .hardware) -}}
{{- end -}}

{{/* Replicas of the model at the start, at least and at most, as JSON. */}}
{{- define "r1.model.bounds" -}}
{{- $fixed := dig "replicas" 1 . | int -}}
{{- with .autoscaling -}}
{{- $least := dig "min" 1 . | int -}}
{{- dict "start" (max 1 $least) "least" $least "most" (int .max) | toJson -}}
{{- else -}}
{{- dict "start" $fixed "least" $fixed "most" $fixed | toJson -}}
{{- end -}}
{{- end -}}

{{/* Pods of one replica, or of one data-parallel group of them. */}}
{{- define "r1.model.group" -}}{{ dig "nodesPerReplica" 1 . | int }}{{- end -}}

{{/* How long a Ray node that is told to go drains: another replica starts elsewhere, and the longest
answer ends here. */}}
{{- define "r1.model.drainSeconds" -}}
{{- sub (include "r1.workerGraceSeconds" .) 30 -}}
{{- end -}}

{{/* Ray's version in the images (pyproject.toml). */}}
{{- define "r1.ray.version" -}}2.60.0{{- end -}}
