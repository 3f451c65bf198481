{{/*
The environment of Ray's processes, on head and workers alike: Ray reads it when it is imported, and
Ray Serve's parts on one node must agree with those on the others.
*/}}

{{- define "r1.ray.environment" -}}
{{- $patience := include "r1.replicaDrainSeconds" . -}}
{{- $variables := dict
  "RAY_AUTH_MODE" "token"
  "RAY_USAGE_STATS_ENABLED" "0"
  "RAY_DEDUP_LOGS" "0"
  "RAY_worker_niceness" "0"
  "RAY_enable_worker_prestart" "0"
  "RAY_prestart_worker_first_driver" "0"
  "RAY_process_group_cleanup_enabled" "1"
  "RAY_agent_register_timeout_ms" "300000"
  "RAY_raylet_start_wait_time_s" "300"
  "RAY_worker_register_timeout_seconds" "600"
  "RAY_gcs_server_request_timeout_seconds" "300"
  "RAY_gcs_rpc_server_reconnect_timeout_s" "1800"
  "RAY_SERVE_ENABLE_HA_PROXY" "1"
  "RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING" "1"
  "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT" "30000"
  "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT" "31000"
  "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S" "60"
  "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S" "60"
  "RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S" "120"
  "RAY_SERVE_HAPROXY_NBTHREAD" "1"
  "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S" $patience
  "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S" $patience
  "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S" $patience
  "RAY_SERVE_LLM_ROUTER_HTTP_TIMEOUT" $patience
  "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S" "3"
  "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS" "1"
  "HF_HUB_OFFLINE" "1"
  "TRANSFORMERS_OFFLINE" "1"
  "HF_HUB_DISABLE_TELEMETRY" "1"
  "VLLM_NO_USAGE_STATS" "1"
  "TOKENIZERS_PARALLELISM" "false"
  "HOME" "/var/cache/r1"
  "R1_WEIGHTS_CACHE" "/var/cache/r1/weights"
  "R1_TELEMETRY_DIR" "/tmp/r1-starts" -}}
{{- with .Values.weights.hubEndpoint }}{{ $_ := set $variables "HF_ENDPOINT" . }}{{ end -}}
{{- with .Values.weights.cache.limitGB }}{{ $_ := set $variables "R1_WEIGHTS_CACHE_GB" (toString .) }}{{ end -}}
{{- range $name, $value := $variables }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
- name: POD_IP
  valueFrom:
    fieldRef: {fieldPath: status.podIP}
- name: VLLM_HOST_IP
  value: $(POD_IP)
{{- if eq .Values.runtime "plain" }}
{{ include "r1.secretEnv" (list . "RAY_AUTH_TOKEN" "ray-token") }}
{{- end }}
{{ include "r1.secretEnv" (list . "VLLM_API_KEY" "engine-key") }}
{{ include "r1.storeEnv" (list . "R1_REGISTRY_URL") }}
{{- with .Values.ray.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The hub's token, for gated weights. */}}
{{- define "r1.hubToken" -}}
{{- with .Values.secrets.hfToken }}{{ if .existingSecret }}
{{ include "r1.envFrom" (list "HF_TOKEN" .existingSecret .key) }}
{{- end }}{{ end }}
{{- end -}}
