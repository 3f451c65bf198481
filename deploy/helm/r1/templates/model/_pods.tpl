{{/*
The pods of the Ray cluster: the same for StatefulSets and for a RayService, which writes Ray's
command itself (annotation ray.io/overwrite-container-cmd) and gives it in an environment variable.
*/}}

{{/* What a Ray node runs: Ray, and beside it in the same container the node's telemetry. */}}
{{- define "r1.ray.command" -}}
[python, -m, serving.kubernetes.ray_node]
{{- end -}}

{{/* (root, container's extras as a values' `pod`): mounts of a Ray container. */}}
{{- define "r1.ray.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: shm, mountPath: /dev/shm}
- {name: cache, mountPath: /var/cache/r1}
{{ include "r1.keysVolumeMount" . }}
{{- if or (index . 0).Values.weights.claim.enabled (index . 0).Values.weights.claim.existing }}
- {name: weights, mountPath: /var/cache/r1/weights}
{{- end }}
{{- with include "r1.storeVolumeMount" (index . 0) }}
{{ . }}
{{- end }}
{{- with (index . 1).extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* (root, extras, shm size): the volumes. */}}
{{- define "r1.ray.volumes" -}}
{{- $weights := (index . 0).Values.weights -}}
- name: tmp
  emptyDir: {}
- name: shm
  emptyDir:
    medium: Memory
    sizeLimit: {{ index . 2 }}
- name: cache
{{- if $weights.cache.hostPath }}
  hostPath:
    path: {{ $weights.cache.hostPath }}
    type: DirectoryOrCreate
{{- else }}
  emptyDir:
    {{- with $weights.cache.sizeLimit }}
    sizeLimit: {{ . }}
    {{- else }} {}{{- end }}
{{- end }}
{{- if or $weights.claim.enabled $weights.claim.existing }}
- name: weights
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-weights" (include "r1.fullname" (index . 0))) $weights.claim.existing }}
{{- end }}
{{ include "r1.keysVolume" (list (index . 0) "engine-key") }}
{{- with include "r1.storeVolume" (index . 0) }}
{{ . }}
{{- end }}
{{- with (index . 1).extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Probes of a Ray node: it lives while its raylet does. Whether a model serves is the gateway's to
know, from the registry. */}}
{{- define "r1.ray.probes" -}}
startupProbe:
  httpGet: {path: /api/local_raylet_healthz, port: agent}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 600
readinessProbe:
  httpGet: {path: /api/local_raylet_healthz, port: agent}
  periodSeconds: 5
  timeoutSeconds: 10
  failureThreshold: 3
livenessProbe:
  httpGet: {path: /api/local_raylet_healthz, port: agent}
  periodSeconds: 15
  timeoutSeconds: 15
  failureThreshold: 20
{{- end -}}

{{/* (root, id): the spec of a model's worker pod. */}}
{{- define "r1.model.pod" -}}
{{- $root := index . 0 -}}
{{- $id := index . 1 -}}
{{- $model := include "r1.plan.entry" . | fromJson -}}
{{- $pod := include "r1.model.podValues" . | fromJson -}}
{{- $ranks := include "r1.model.ranks" $model | int -}}
{{- $gpus := include "r1.model.gpus" $model | int -}}
{{- $shm := default (ternary "2Gi" "256Mi" (gt $ranks 1)) $pod.shm -}}
{{- $plain := eq $root.Values.runtime "plain" -}}
{{- include "r1.imagePullSecrets" $root }}
serviceAccountName: {{ include "r1.serviceAccountName" (list $root "ray") }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ include "r1.workerGraceSeconds" $root }}
{{- with $pod.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
securityContext:
  {{- include "r1.podSecurityContext" $root | nindent 2 }}
{{- include "r1.scheduling" $pod }}
{{- if and (gt (include "r1.model.group" $model | int) 1) (eq $root.Values.ray.gangScheduler "volcano") }}
schedulerName: volcano
{{- end }}
containers:
  - name: engine
    image: {{ include "r1.image" (list $root (include "r1.model.image" $model)) }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    command: {{ include "r1.ray.command" $root }}
    {{- if $plain }}
    args:
      - ray
      - start
      - --block
      - --address={{ include "r1.fullname" $root }}-ray-head:6379
      - --node-ip-address=$(POD_IP)
      - --num-cpus=64
      - --num-gpus={{ $gpus }}
      - --resources={{ dict (include "r1.model.pool" $id) $ranks | toJson }}
      - --object-store-memory=100000000
      - --metrics-export-port=8080
      - --dashboard-agent-listen-port=52365
      - --disable-usage-stats
    {{- end }}
    env:
      {{- include "r1.ray.environment" $root | nindent 6 }}
      - name: RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S
        value: {{ include "r1.model.drainSeconds" $root | quote }}
      {{- include "r1.hubToken" $root | nindent 6 }}
      {{- with $pod.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    ports:
      - {name: agent, containerPort: 52365}
      - {name: telemetry, containerPort: 8082}
      - {name: metrics, containerPort: 8080}
    {{- include "r1.ray.probes" $root | nindent 4 }}
    resources:
      {{- include "r1.model.resources" $model | nindent 6 }}
    securityContext:
      {{- include "r1.model.securityContext" (list $root $pod) | nindent 6 }}
    volumeMounts:
      {{- include "r1.ray.mounts" (list $root $pod) | nindent 6 }}
volumes:
  {{- include "r1.ray.volumes" (list $root $pod $shm) | nindent 2 }}
{{- end -}}

{{/* (root, id): the model's `pod` as JSON, with what it leaves out: the model's label, the taints of
GPU nodes borne, and its workers apart from each other where that is possible. */}}
{{- define "r1.model.podValues" -}}
{{- $root := index . 0 -}}
{{- $id := index . 1 -}}
{{- $model := include "r1.plan.entry" . | fromJson -}}
{{- $pod := deepCopy (default dict $model.pod) -}}
{{- $_ := set $pod "labels" (merge (dict "r1/model" $id) (default dict $pod.labels) (include "r1.model.gangLabels" (list $root $model) | fromYaml)) -}}
{{- $_ := set $pod "annotations" (default dict $pod.annotations) -}}
{{- if not (hasPrefix "cpu" $model.hardware) -}}
{{- $taints := list (dict "key" "nvidia.com/gpu" "operator" "Exists") (dict "key" "amd.com/gpu" "operator" "Exists") -}}
{{- $_ := set $pod "tolerations" (concat $taints (default list $pod.tolerations)) -}}
{{- end -}}
{{- if not $pod.affinity -}}
{{- $labels := merge (dict "r1/model" $id) (include "r1.selectorLabels" (list $root "ray-worker") | fromYaml) -}}
{{- $apart := dict "weight" 50 "podAffinityTerm" (dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" $labels)) -}}
{{- $_ := set $pod "affinity" (dict "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" (list $apart))) -}}
{{- end -}}
{{- toJson $pod -}}
{{- end -}}

{{/* (root, model): labels by which a scheduler places all pods of a group at once. */}}
{{- define "r1.model.gangLabels" -}}
{{- $root := index . 0 -}}
{{- if gt (include "r1.model.group" (index . 1) | int) 1 -}}
{{- if eq $root.Values.ray.gangScheduler "kueue" -}}
kueue.x-k8s.io/queue-name: {{ required "ray.queueName: name the queue of kueue" $root.Values.ray.queueName }}
{{- else if eq $root.Values.ray.gangScheduler "volcano" -}}
volcano.sh/queue-name: {{ required "ray.queueName: name the queue of volcano" $root.Values.ray.queueName }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A model's resources: the values', or what `r1 doctor` counts with (serving/preflight/needs.py). */}}
{{- define "r1.model.resources" -}}
{{- $pod := default dict .pod -}}
{{- $ranks := include "r1.model.ranks" . | int -}}
{{- $gpus := include "r1.model.gpus" . | int -}}
{{- $resources := dict -}}
{{- if $gpus -}}
{{- $_ := set $resources (default "nvidia.com/gpu" $pod.gpuResource) $gpus -}}
{{- end -}}
{{- with $pod.rdma -}}
{{- $_ := set $resources .resource (default 1 .count) -}}
{{- end -}}
{{- $memory := default (ternary (printf "%dMi" (add 8192 (mul 6144 $gpus) (ternary 2048 256 (gt $ranks 1)))) (printf "%dMi" (add 1024 (mul 1280 $ranks))) (gt $gpus 0)) $pod.memory -}}
{{- $cpu := default (ternary (mul 2 $gpus | toString) (printf "%dm" (mul 250 $ranks)) (gt $gpus 0)) $pod.cpu -}}
{{- $most := default (ternary $cpu (mul 2 $ranks | toString) (gt $gpus 0)) $pod.cpuLimit -}}
requests:
  {{- merge (dict "cpu" $cpu "memory" $memory) $resources | toYaml | nindent 2 }}
limits:
  {{- merge (dict "cpu" $most "memory" $memory) $resources | toYaml | nindent 2 }}
{{- end -}}

{{/* (root, pod): as all containers', and the right to pin memory where there is RDMA. */}}
{{- define "r1.model.securityContext" -}}
{{- $context := include "r1.containerSecurityContext" (index . 0) | fromYaml -}}
{{- if (index . 1).rdma }}{{ $_ := set $context.capabilities "add" (list "IPC_LOCK") }}{{ end -}}
{{- toYaml $context -}}
{{- end -}}

{{/* The spec of the head's pod: it schedules and knows, and computes nothing. */}}
{{- define "r1.head.pod" -}}
{{- $head := .Values.ray.head -}}
{{- $pod := $head.pod -}}
{{- $image := "serving-cpu" -}}
{{- range include "r1.model.ids" . | fromJsonArray -}}
{{- if not (hasPrefix "cpu" (get $.Values.models .).hardware) }}{{ $image = "serving-gpu" }}{{ end -}}
{{- end -}}
{{- $plain := eq .Values.runtime "plain" -}}
{{- include "r1.imagePullSecrets" . }}
{{- if $plain }}
serviceAccountName: {{ include "r1.serviceAccountName" (list . "ray") }}
automountServiceAccountToken: false
{{- end }}
enableServiceLinks: false
terminationGracePeriodSeconds: {{ ternary 30 (include "r1.workerGraceSeconds" . | int) $plain }}
{{- if not $plain }}
# KubeRay's autoscaler beside the head is a first process without an ear for SIGTERM, which would
# have the pod wait for all of its grace; in a namespace of processes with others it isn't the first.
shareProcessNamespace: true
{{- end }}
securityContext:
  {{- include "r1.podSecurityContext" . | nindent 2 }}
{{- include "r1.scheduling" $pod }}
containers:
  - name: head
    image: {{ include "r1.image" (list . $image) }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    command: {{ include "r1.ray.command" . }}
    {{- if $plain }}
    args:
      - ray
      - start
      - --head
      - --block
      - --node-ip-address=$(POD_IP)
      - --port=6379
      - --num-cpus=0
      - --num-gpus=0
      - --object-store-memory=100000000
      - --include-dashboard=true
      - --dashboard-host=0.0.0.0
      - --dashboard-port=8265
      - --metrics-export-port=8080
      - --dashboard-agent-listen-port=52365
      - --disable-usage-stats
      {{- if (include "r1.ray.storeAddress" .) }}
      - --redis-password=$(RAY_STORE_PASSWORD)
      {{- end }}
    {{- end }}
    env:
      {{- include "r1.ray.environment" . | nindent 6 }}
      - name: RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S
        value: {{ ternary "0" (include "r1.model.drainSeconds" .) $plain | quote }}
      {{- if and $plain (include "r1.ray.storeAddress" .) }}
      {{- include "r1.secretEnv" (list . "RAY_STORE_PASSWORD" "ray-redis-password") | nindent 6 }}
      - name: RAY_REDIS_ADDRESS
        value: {{ include "r1.ray.storeAddress" . }}
      - name: RAY_external_storage_namespace
        value: {{ .Release.Namespace }}.{{ include "r1.fullname" . }}
      {{- end }}
      {{- with $pod.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    ports:
      - {name: gcs, containerPort: 6379}
      - {name: dashboard, containerPort: 8265}
      - {name: serve, containerPort: 8000}
      - {name: agent, containerPort: 52365}
      - {name: telemetry, containerPort: 8082}
      - {name: metrics, containerPort: 8080}
    {{- include "r1.ray.probes" . | nindent 4 }}
    resources:
      {{- toYaml $head.resources | nindent 6 }}
    securityContext:
      {{- include "r1.containerSecurityContext" . | nindent 6 }}
    volumeMounts:
      {{- include "r1.ray.mounts" (list . $pod) | nindent 6 }}
volumes:
  {{- include "r1.ray.volumes" (list . $pod "256Mi") | nindent 2 }}
{{- end -}}

{{/* Where Ray's head keeps its state: the bundled Redis of its own, or the user's; empty for nowhere. */}}
{{- define "r1.ray.storeAddress" -}}
{{- ternary (printf "%s-ray-redis:6379" (include "r1.fullname" .)) .Values.ray.redis.externalAddress .Values.ray.redis.enabled -}}
{{- end -}}
