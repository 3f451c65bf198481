{{/*
The facts that the rules of files/plan.json look at (r1/helm/rules.py): the engine's arguments with
all values laid over them, and what follows from them.
*/}}

{{/* (table, names, way, engine) */}}
{{- define "r1.plan.facts" -}}
{{- $table := index . 0 -}}{{- $names := index . 1 -}}{{- $way := index . 2 -}}{{- $engine := index . 3 -}}
{{- $model := $names.model -}}{{- $build := $names.build -}}{{- $hardware := $names.hardware -}}{{- $profile := $names.profile -}}
{{- $latentCpu := and $model.sparse $hardware.cpu -}}
{{- $known := empty $engine.quantization -}}
{{- $balanced := gt (int64 $profile.redundant) 0 -}}

{{- $memory := include "r1.plan.memory" (list $build $model $hardware $way) | fromJson -}}
{{- $context := int64 $model.served -}}
{{- $tokens := int64 $memory.tokens -}}
{{- if hasKey $engine "max_model_len" -}}
  {{- $context = int64 $engine.max_model_len -}}
{{- else if and (ge $tokens (int64 $table.context.shortest)) (lt $tokens $context) -}}
  {{- $context = mul (div $tokens $table.context.step) $table.context.step -}}
{{- end -}}
{{- $needed := mul $context $memory.token -}}

{{- /* What an engine on processors takes for its KV cache by itself. */ -}}
{{- $whole := mul (div $tokens $table.context.step) $table.context.step -}}
{{- $sequences := default $profile.max_num_seqs $engine.max_num_seqs | int64 -}}
{{- $most := max (mul 4 $context) (div (mul $sequences $context) 4) -}}
{{- $cache := mul $memory.token (max $context (min $whole $most)) -}}

{{- $cut := 0 -}}
{{- $widths := $build.widths -}}
{{- if and (not $way.expert) $build.routedWidth -}}{{- $widths = append $widths $build.routedWidth -}}{{- end -}}
{{- if and $known (gt (int64 $way.tensor) 1) -}}
  {{- range $widths -}}
    {{- $slice := div . $way.tensor -}}
    {{- if ne 0 (mod $slice $build.group) -}}{{- $cut = $slice -}}{{- end -}}
  {{- end -}}
{{- end -}}

{{- $readers := list -}}
{{- range $name, $each := $model.builds -}}
  {{- if $each.vllm -}}{{- $readers = append $readers $name -}}{{- end -}}
{{- end -}}

{{- $dtype := ternary "float32" "bfloat16" $build.float32 -}}
{{- if and $hardware.capability (lt (int $hardware.capability) 80) -}}{{- $dtype = "float16" -}}{{- end -}}
{{- $asked := $profile.redundant -}}
{{- if hasKey $engine "eplb_config" -}}
  {{- $asked = default 0 (get (default dict $engine.eplb_config) "num_redundant_experts") -}}
{{- end -}}

{{- $facts := dict
      "id" $names.id "hardware" $names.hardwareId "build" $names.buildId
      "tensor" $way.tensor "pipeline" $way.pipeline "data" $way.data
      "devices" (mul $way.tensor $way.pipeline $way.data) "ranks" (mul $way.tensor $way.data)
      "expert" $way.expert "mtp" $way.mtp "cache8" $way.cache8
      "gpus" $hardware.gpus "cpu" $hardware.cpu "capability" $hardware.capability
      "heads" $model.heads "keyHeads" $model.keyHeads "layers" $model.layers "sparse" $model.sparse
      "positions" $model.positions "experts" (add $model.experts $way.copies)
      "draftLayers" $model.draftLayers "latentShape" $model.latentShape "latentCpu" $latentCpu
      "buildDrafts" $build.drafts "balanced" $build.balanced "group" $build.group "cut" $cut
      "parity" $names.parity "published" $names.published "vllm" $build.vllm "tooNew" $build.tooNew
      "family" (ternary $build.family "plain" $known)
      "moeBackends" (ternary $build.moeBackends "" $known)
      "vllmBuilds" (join ", " (sortAlpha $readers))
      "copiesAsked" $asked "context" $context "cacheOfRank" $cache "counted" $known
      "budget" $memory.budget "needed" $needed "room" (div $memory.budget $memory.token)
      "explicit" (default 0 $engine.kv_cache_memory_bytes)
      "weightsGb" (include "r1.plan.gb" $memory.weights) "memoryGb" (include "r1.plan.gb" $hardware.memory)
      "neededGb" (include "r1.plan.gb" $needed) "budgetGb" (include "r1.plan.gb" $memory.budget) -}}
{{- if $engine.kv_cache_memory_bytes -}}
  {{- $_ := set $facts "cacheOfRank" $engine.kv_cache_memory_bytes -}}
{{- end -}}

{{- /* Arguments by vLLM's names: what the plan gives, or vLLM itself, and values over it. */ -}}
{{- $arguments := dict
      "enable_eplb" $balanced "enable_elastic_ep" false "enable_dbo" false
      "prefill_context_parallel_size" 1 "decode_context_parallel_size" 1
      "all2all_backend" "" "moe_backend" "auto" "dtype" $dtype "kv_cache_dtype" "auto"
      "attention_backend" (ternary "CPU_MLA" "" $latentCpu) "block_size" 16
      "enable_chunked_prefill" false "enable_prefix_caching" false
      "max_num_batched_tokens" (ternary $context $profile.step_tokens $latentCpu) -}}
{{- range $name, $usual := $arguments -}}
  {{- $given := $usual -}}
  {{- if hasKey $engine $name -}}
    {{- $given = get $engine $name -}}
    {{- /* null takes out what the plan gives; what vLLM does by itself is left. */ -}}
    {{- if kindIs "invalid" $given -}}{{- $given = ternary "" $usual (has $name (list "dtype" "attention_backend")) -}}{{- end -}}
  {{- end -}}
  {{- $_ := set $facts $name $given -}}
{{- end -}}
{{- toJson $facts -}}
{{- end -}}

{{/* Bytes in 10^9, for a sentence. */}}
{{- define "r1.plan.gb" -}}
{{- printf "%.1f" (divf . 1000000000.0) -}}
{{- end -}}
