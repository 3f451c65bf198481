{{/*
What the plan says of a model, from files/plan.json: the same arithmetic as serving/engine
(derivation.py, memory.py), on the numbers of that table. tests/chart/test_checks.py asks both about
the same values. Amounts of memory are in bytes, everything is of one rank unless it says otherwise.
*/}}

{{- define "r1.plan.table" -}}
{{- .Files.Get "files/plan.json" -}}
{{- end -}}

{{/* (build, model, hardware, way): weights, KV bytes of a token, what is left for the KV cache, and
how many tokens that is. A way is a map of tensor, pipeline, data, expert, mtp, copies, share and
cache8. */}}
{{- define "r1.plan.memory" -}}
{{- $build := index . 0 -}}{{- $model := index . 1 -}}{{- $hardware := index . 2 -}}{{- $way := index . 3 -}}
{{- $total := ternary $build.total $build.withoutDrafts $way.mtp | int64 -}}
{{- $routed := add $build.routed (ternary $build.draftsRouted 0 $way.mtp) -}}
{{- $copies := 0 -}}
{{- if $model.sparse -}}{{- $copies = div (mul $routed $way.copies) $model.experts -}}{{- end -}}
{{- $spread := mul $way.tensor (ternary $way.data 1 $way.expert) -}}
{{- $share := add (div (sub $total $routed) $way.tensor) (div (add $routed $copies) $spread) -}}
{{- $weights := div (add $share $way.pipeline -1) $way.pipeline -}}
{{- $kv := ternary $build.kvDrafts $build.kv $way.mtp | int64 -}}
{{- if $way.cache8 -}}{{- $kv = div $kv $build.wide -}}{{- end -}}
{{- $split := mul $way.pipeline (ternary 1 (min $way.tensor $model.keyHeads) $model.sparse) -}}
{{- $token := div (add $kv $split -1) $split -}}
{{- $sharing := ternary (mul $way.tensor $way.pipeline $way.data) 1 $hardware.cpu -}}
{{- $reserve := ternary $hardware.reserveOfTensor $hardware.reserve (gt (int64 $way.tensor) 1) -}}
{{- $mine := divf (subf (mulf $hardware.memory $way.share) $reserve) $sharing | int64 -}}
{{- $budget := sub $mine $weights -}}
{{- dict "weights" $weights "token" $token "budget" $budget "tokens" (div $budget $token) | toJson -}}
{{- end -}}

{{/* (table, id, entry): which row of the table each of the entry's names is: {model, hardware, build,
profile}, or {fault: {value, sentence}} where one is not known. */}}
{{- define "r1.plan.names" -}}
{{- $table := index . 0 -}}{{- $id := index . 1 -}}{{- $entry := index . 2 -}}
{{- $found := dict -}}
{{- if not (hasKey $table.models $id) -}}
  {{- $ids := keys $table.models | sortAlpha -}}
  {{- $meant := "" -}}
  {{- range $ids -}}
    {{- if has $id (get $table.models .).aliases -}}{{- $meant = . -}}{{- end -}}
  {{- end -}}
  {{- $mend := ternary (printf "one of %s" (join ", " $ids)) (printf "its id, %s" $meant) (empty $meant) -}}
  {{- $found = dict "fault" (dict "value" "" "sentence" (printf "no model of the catalog has this id; write %s" $mend)) -}}
{{- else if not (hasKey $table.hardware (default "" $entry.hardware)) -}}
  {{- $found = dict "fault" (dict "value" "hardware" "sentence" (printf "is %q, which is no machine shape; take one of %s" (default "" $entry.hardware) (keys $table.hardware | sortAlpha | join ", "))) -}}
{{- else -}}
  {{- $model := get $table.models $id -}}
  {{- $build := default $model.build $entry.build -}}
  {{- if not (hasKey $model.builds $build) -}}
    {{- $found = dict "fault" (dict "value" "build" "sentence" (printf "is %q, and %s has no such build; take one of %s" $build $id (keys $model.builds | sortAlpha | join ", "))) -}}
  {{- else -}}
    {{- $runsOn := index $table.runsOn (int (get $model.builds $build).kind) -}}
    {{- if not (hasKey $runsOn $entry.hardware) -}}
      {{- $found = dict "fault" (dict "value" "hardware" "sentence" (printf "is %q, where build %s of %s does not run; take one of %s" $entry.hardware $build $id (keys $runsOn | sortAlpha | join ", "))) -}}
    {{- else -}}
      {{- $profiles := index $table.profiles (get $runsOn $entry.hardware | int) -}}
      {{- $wanted := default "default" $entry.profile -}}
      {{- $profile := dict -}}
      {{- if eq $wanted "default" -}}{{- $profile = first $profiles -}}{{- end -}}
      {{- $names := list -}}
      {{- range $profiles -}}
        {{- $names = append $names .name -}}
        {{- if eq .name $wanted -}}{{- $profile = . -}}{{- end -}}
      {{- end -}}
      {{- if not $profile -}}
        {{- $found = dict "fault" (dict "value" "profile" "sentence" (printf "is %q, and %s has no such profile on %s; take one of %s" $wanted $id $entry.hardware (join ", " $names))) -}}
      {{- else -}}
        {{- if not $entry.build -}}{{- $build = default $build $profile.build -}}{{- end -}}
        {{- $found = dict "id" $id "hardwareId" $entry.hardware "parity" (not (empty $entry.kvParity)) "published" (empty (default dict $entry.weights).source) "model" $model "hardware" (get $table.hardware $entry.hardware) "buildId" $build "build" (get $model.builds $build) "profile" $profile -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* (table, names, engine): how the engine is spread: a way, as r1.plan.memory takes it. Where
neither values nor profile fix the tensor ranks: the fewest of a node that hold weights and context. */}}
{{- define "r1.plan.way" -}}
{{- $names := index . 1 -}}{{- $engine := index . 2 -}}
{{- $model := $names.model -}}{{- $hardware := $names.hardware -}}{{- $profile := $names.profile -}}
{{- $drafts := gt (int64 $profile.mtp_tokens) 0 -}}
{{- if hasKey $engine "speculative_config" -}}
  {{- $drafts = eq "mtp" (toString (get (default dict $engine.speculative_config) "method")) -}}
{{- end -}}
{{- $copies := $profile.redundant | int64 -}}
{{- if hasKey $engine "eplb_config" -}}
  {{- $copies = get (default dict $engine.eplb_config) "num_redundant_experts" | int64 -}}
{{- end -}}
{{- if not (ternary $engine.enable_eplb (gt (int64 $profile.redundant) 0) (hasKey $engine "enable_eplb")) -}}{{- $copies = 0 -}}{{- end -}}
{{- $way := dict "tensor" 1 "mtp" $drafts "copies" $copies
      "pipeline" (default $profile.pipeline $engine.pipeline_parallel_size | int64)
      "data" (default $profile.data $engine.data_parallel_size | int64)
      "expert" (ternary $engine.enable_expert_parallel $profile.expert (hasKey $engine "enable_expert_parallel"))
      "share" (default $hardware.utilization $engine.gpu_memory_utilization)
      "cache8" (hasPrefix "fp8" (toString $engine.kv_cache_dtype)) -}}
{{- $fixed := default $profile.tensor $engine.tensor_parallel_size -}}
{{- if $fixed -}}
  {{- $_ := set $way "tensor" (int64 $fixed) -}}
{{- else -}}
  {{- $possible := list -}}
  {{- range list 1 2 4 8 -}}
    {{- if or (eq . 1) (and (le . (int $hardware.gpusPerNode)) (eq 0 (mod $model.heads .))) -}}
      {{- $possible = append $possible . -}}
    {{- end -}}
  {{- end -}}
  {{- $chosen := 0 -}}
  {{- range $possible -}}
    {{- if not $chosen -}}
      {{- $_ := set $way "tensor" . -}}
      {{- $memory := include "r1.plan.memory" (list $names.build $model $hardware $way) | fromJson -}}
      {{- if ge (int64 $memory.tokens) (int64 $model.served) -}}
        {{- $chosen = ternary (mul 2 .) . (and $profile.doubled (has (mul 2 . | int) $possible)) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- $_ := set $way "tensor" (default (last $possible) $chosen) -}}
{{- end -}}
{{- toJson $way -}}
{{- end -}}

{{/* (root, id): what the plan says of models.<id>, where the pod's own values are silent: pods of a
replica and what each of them asks for, in Kubernetes' quantities. */}}
{{- define "r1.plan.demand" -}}
{{- $root := index . 0 -}}{{- $id := index . 1 -}}
{{- $table := include "r1.plan.table" $root | fromJson -}}
{{- $entry := get $root.Values.models $id -}}
{{- $names := include "r1.plan.names" (list $table $id $entry) | fromJson -}}
{{- if $names.fault -}}{{- fail (include "r1.refusals" $root) -}}{{- end -}}
{{- $way := include "r1.plan.way" (list $table $names (default dict $entry.engine)) | fromJson -}}
{{- include "r1.plan.pods" (list $table $names $way (default dict $entry.engine)) -}}
{{- end -}}

{{/* (root, id): models.<id> as JSON, where it is on GPUs with what the plan says of its pods in place
of what it leaves out. */}}
{{- define "r1.plan.entry" -}}
{{- $entry := deepCopy (get (index . 0).Values.models (index . 1)) -}}
{{- $demand := include "r1.plan.demand" . | fromJson -}}
{{- if not $demand.cpuMachine -}}
  {{- $pod := pick $demand "gpus" "gpuResource" "cpu" "memory" "shm" -}}
  {{- if not (dig "pod" "nodeSelector" dict $entry) -}}{{- $_ := set $pod "nodeSelector" $demand.nodeSelector -}}{{- end -}}
  {{- $entry = merge $entry (dict "nodesPerReplica" $demand.nodesPerReplica "pod" $pod) -}}
{{- end -}}
{{- toJson $entry -}}
{{- end -}}

{{/* (table, names, way, engine): the same, where they are known. */}}
{{- define "r1.plan.pods" -}}
{{- $table := index . 0 -}}{{- $names := index . 1 -}}{{- $way := index . 2 -}}{{- $engine := index . 3 -}}
{{- $hardware := $names.hardware -}}{{- $needs := $table.pod -}}
{{- $devices := mul $way.tensor $way.pipeline $way.data -}}
{{- $node := ternary $devices (int64 $hardware.gpusPerNode) $hardware.cpu -}}
{{- $pods := div (add $devices $node -1) $node -}}
{{- $ranks := div (add $devices $pods -1) $pods -}}
{{- $shm := ternary $needs.shm $needs.shmAlone (gt $ranks 1) | int64 -}}
{{- $memory := add $needs.base (mul $ranks $needs.gpu) $shm -}}
{{- if $hardware.cpu -}}
  {{- $facts := include "r1.plan.facts" (list $table $names $way $engine) | fromJson -}}
  {{- $memory = add $needs.cpuBase (mul $ranks $needs.rank) $names.build.total (mul $ranks $facts.cacheOfRank) $shm -}}
{{- end -}}
{{- dict "tensor" $way.tensor "pipeline" $way.pipeline "data" $way.data "devices" $devices
      "nodesPerReplica" $pods "ranks" $ranks "cpuMachine" $hardware.cpu
      "gpus" (ternary 0 $ranks $hardware.cpu)
      "gpuResource" (default "" $hardware.resource) "nodeSelector" $hardware.nodeSelector
      "cpu" (printf "%dm" (mul $ranks (ternary $needs.millicoresOfRank $needs.millicoresOfGpu $hardware.cpu)))
      "memoryBytes" $memory "memory" (include "r1.plan.quantity" $memory)
      "shmBytes" $shm "shm" (include "r1.plan.quantity" $shm)
      "rdma" (and (gt $pods 1) $hardware.rdma)
      "rayAcceleratorType" (default "" $hardware.accelerator) | toJson -}}
{{- end -}}

{{/* Bytes as a quantity that is not less: whole GiB, or MiB below four of them. */}}
{{- define "r1.plan.quantity" -}}
{{- $size := int64 . -}}
{{- if or (eq 0 (mod $size 1073741824)) (gt $size 4294967296) -}}
{{- div (add $size 1073741823) 1073741824 }}Gi
{{- else -}}
{{- div (add $size 1048575) 1048576 }}Mi
{{- end -}}
{{- end -}}
