{{/*
The model plane's values that can't work, each with a sentence that names the value and the mend, by
the plan's rules (files/plan.json). _refusals.tpl asks, and tells all of a release's faults at once.
*/}}

{{/* A line for each value of an enabled model that is wrong. */}}
{{- define "r1.checks" -}}
{{- $root := . -}}
{{- range $id := keys .Values.models | sortAlpha -}}
  {{- $entry := default dict (get $root.Values.models $id) -}}
  {{- if ne false $entry.enabled -}}
    {{- range (include "r1.checks.model" (list $root $id $entry) | fromJson).faults }}
{{ include "r1.checks.sentence" (list $id .) }}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* (id, fault): one line. */}}
{{- define "r1.checks.sentence" -}}
{{- $fault := index . 1 -}}
models.{{ index . 0 }}{{ with $fault.value }}.{{ . }}{{ end }}: {{ $fault.sentence }}
{{- end -}}

{{/* (root, id, entry): {faults: [{value, sentence}]}. Faults in a later step can't be seen before
those of an earlier one are mended. */}}
{{- define "r1.checks.model" -}}
{{- $root := index . 0 -}}{{- $id := index . 1 -}}{{- $entry := index . 2 -}}
{{- $table := include "r1.plan.table" $root | fromJson -}}
{{- $engine := default dict $entry.engine -}}
{{- $names := include "r1.plan.names" (list $table $id $entry) | fromJson -}}
{{- $faults := list -}}
{{- if $names.fault -}}
  {{- $faults = list $names.fault -}}
{{- else -}}
  {{- $faults = concat
        ((include "r1.checks.arguments" (list $table $engine) | fromJson).faults)
        ((include "r1.checks.replicas" $entry | fromJson).faults) -}}
{{- end -}}
{{- if not $faults -}}
  {{- $way := include "r1.plan.way" (list $table $names $engine) | fromJson -}}
  {{- $facts := include "r1.plan.facts" (list $table $names $way $engine) | fromJson -}}
  {{- $faults = (include "r1.checks.rules" (list $table.rules $facts) | fromJson).faults -}}
  {{- if not $faults -}}
    {{- $pods := include "r1.plan.pods" (list $table $names $way $engine) | fromJson -}}
    {{- $faults = (include "r1.checks.pods" (list $table $names $pods $entry) | fromJson).faults -}}
  {{- end -}}
{{- end -}}
{{- dict "faults" $faults | toJson -}}
{{- end -}}

{{/* (table, engine): names that vLLM does not have, and values of the wrong sort. */}}
{{- define "r1.checks.arguments" -}}
{{- $table := index . 0 -}}{{- $engine := index . 1 -}}
{{- $faults := list -}}
{{- range $name, $value := $engine -}}
  {{- $kind := get $table.arguments $name -}}
  {{- $wrong := "" -}}
  {{- if hasKey $table.setElsewhere $name -}}
    {{- $wrong = printf "can't be set here: %s" (get $table.setElsewhere $name) -}}
  {{- else if not $kind -}}
    {{- $wrong = "vLLM has no such argument; look at its documentation, or take it out" -}}
  {{- else if and (has $kind (list "flag" "switch")) (not (kindIs "bool" $value)) -}}
    {{- $wrong = "is a switch; give true or false" -}}
  {{- else if and (has $kind (list "list" "append")) (not (or (kindIs "slice" $value) (kindIs "invalid" $value))) -}}
    {{- $wrong = "takes a list; give one" -}}
  {{- else if and (eq $kind "value") (kindIs "bool" $value) -}}
    {{- $wrong = "is no switch; give a value" -}}
  {{- else if has $name $table.wholeNumbers -}}
    {{- if not (and (or (kindIs "float64" $value) (kindIs "int64" $value)) (ge (float64 $value) 1.0) (eq (float64 $value) (floor $value))) -}}
      {{- $wrong = printf "is %v; give a whole number of 1 or more" $value -}}
    {{- end -}}
  {{- else if and (eq $name "gpu_memory_utilization") (not (kindIs "invalid" $value)) -}}
    {{- if or (kindIs "string" $value) (le (float64 $value) 0.0) (gt (float64 $value) 1.0) -}}
      {{- $wrong = printf "is %v; give a share, above 0 and up to 1" $value -}}
    {{- end -}}
  {{- end -}}
  {{- with $wrong -}}
    {{- $faults = append $faults (dict "value" (printf "engine.%s" $name) "sentence" .) -}}
  {{- end -}}
{{- end -}}
{{- dict "faults" $faults | toJson -}}
{{- end -}}

{{/* entry: how many replicas. What one number may be is in values.schema.json. */}}
{{- define "r1.checks.replicas" -}}
{{- $faults := list -}}
{{- if .autoscaling -}}
  {{- $least := dig "min" 1 .autoscaling | int64 -}}
  {{- if hasKey . "replicas" -}}
    {{- $faults = append $faults (dict "value" "replicas" "sentence" "there is autoscaling too; leave one of them out") -}}
  {{- end -}}
  {{- if gt $least (int64 .autoscaling.max) -}}
    {{- $faults = append $faults (dict "value" "autoscaling.min" "sentence" (printf "is %d, above autoscaling.max, which is %v; lower it or raise that" $least .autoscaling.max)) -}}
  {{- end -}}
{{- end -}}
{{- dict "faults" $faults | toJson -}}
{{- end -}}

{{/* (facts, condition): whether it holds. */}}
{{- define "r1.checks.holds" -}}
{{- $facts := index . 0 -}}{{- $condition := index . 1 -}}
{{- $left := get $facts (index $condition 0) -}}{{- $relation := index $condition 1 -}}{{- $right := index $condition 2 -}}
{{- if and (kindIs "string" $right) (hasPrefix "@" (toString $right)) -}}
  {{- $right = get $facts (trimPrefix "@" $right) -}}
{{- end -}}
{{- if eq $relation "is" -}}{{- eq (toString $left) (toString $right) -}}
{{- else if eq $relation "is not" -}}{{- ne (toString $left) (toString $right) -}}
{{- else if eq $relation "above" -}}{{- gt (int64 $left) (int64 $right) -}}
{{- else if eq $relation "below" -}}{{- lt (int64 $left) (int64 $right) -}}
{{- else if eq $relation "not divided by" -}}{{- ne 0 (mod $left $right) -}}
{{- else if eq $relation "not in" -}}{{- not (has $left $right) -}}
{{- else -}}{{- fail (printf "files/plan.json: no relation is called %q" $relation) -}}
{{- end -}}
{{- end -}}

{{/* (rules, facts): the sentences of all rules whose conditions hold. */}}
{{- define "r1.checks.rules" -}}
{{- $facts := index . 1 -}}
{{- $faults := list -}}
{{- range $rule := index . 0 -}}
  {{- $holds := true -}}
  {{- range $rule.when -}}
    {{- if $holds -}}
      {{- $holds = include "r1.checks.holds" (list $facts .) | eq "true" -}}
    {{- end -}}
  {{- end -}}
  {{- if $holds -}}
    {{- $sentence := $rule.sentence -}}
    {{- range $name, $value := $facts -}}
      {{- if kindIs "float64" $value -}}{{- $value = int64 $value -}}{{- end -}}
      {{- $sentence = replace (printf "{%s}" $name) (toString $value) $sentence -}}
    {{- end -}}
    {{- $faults = append $faults (dict "value" $rule.value "sentence" $sentence) -}}
  {{- end -}}
{{- end -}}
{{- dict "faults" $faults | toJson -}}
{{- end -}}

{{/* (table, names, pods, entry): what the pods ask for, beside what the plan says they need. */}}
{{- define "r1.checks.pods" -}}
{{- $table := index . 0 -}}{{- $names := index . 1 -}}{{- $pods := index . 2 -}}{{- $entry := index . 3 -}}
{{- $pod := default dict $entry.pod -}}
{{- $faults := list -}}
{{- if and (hasKey $entry "nodesPerReplica") (ne (int64 $entry.nodesPerReplica) (int64 $pods.nodesPerReplica)) -}}
  {{- $faults = append $faults (dict "value" "nodesPerReplica" "sentence" (printf "is %v, and an engine of %v ranks on %s has %v pods; write that, or leave it out" $entry.nodesPerReplica $pods.devices $names.hardwareId $pods.nodesPerReplica)) -}}
{{- end -}}
{{- if and (hasKey $pod "gpus") (ne (int64 $pod.gpus) (int64 $pods.gpus)) -}}
  {{- $faults = append $faults (dict "value" "pod.gpus" "sentence" (printf "is %v, and tensor %v × pipeline %v × data %v parallel on %s takes %v GPUs in each of %v pods; write %v, or leave it out" $pod.gpus $pods.tensor $pods.pipeline $pods.data $names.hardwareId $pods.gpus $pods.nodesPerReplica $pods.gpus)) -}}
{{- end -}}
{{- if and $pod.gpuResource (not $pods.cpuMachine) -}}
  {{- $vendor := first (splitList "/" $pods.gpuResource) -}}
  {{- if not (hasPrefix (printf "%s/" $vendor) $pod.gpuResource) -}}
    {{- $faults = append $faults (dict "value" "pod.gpuResource" "sentence" (printf "is %s, and the GPUs of %s are %s; write that, or change hardware" $pod.gpuResource $names.hardwareId $pods.gpuResource)) -}}
  {{- else if contains "/mig-" $pod.gpuResource -}}
    {{- $faults = append $faults (dict "value" "pod.gpuResource" "sentence" (printf "is %s, a slice of a GPU, which has not the memory of %s; write %s" $pod.gpuResource $names.hardwareId $pods.gpuResource)) -}}
  {{- end -}}
{{- end -}}
{{- range $name, $least := dict "memory" $pods.memoryBytes "shm" $pods.shmBytes -}}
  {{- with get $pod $name -}}
    {{- $bytes := include "r1.checks.bytes" . -}}
    {{- if not $bytes -}}
      {{- $faults = append $faults (dict "value" (printf "pod.%s" $name) "sentence" (printf "is %v, which is no amount of memory; write one such as %s" . (include "r1.plan.quantity" $least))) -}}
    {{- else if lt (int64 $bytes) (int64 $least) -}}
      {{- $faults = append $faults (dict "value" (printf "pod.%s" $name) "sentence" (printf "is %v, and a pod of %v ranks needs %s; write that, or leave it out" . $pods.ranks (include "r1.plan.quantity" $least))) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- range $label, $product := default dict $pod.nodeSelector -}}
  {{- if and (regexMatch "/gpu\\.product(-name)?$" $label) $names.hardware.chip -}}
    {{- $words := regexSplit "[^A-Za-z0-9]+" (upper $product) -1 -}}
    {{- if not (has (upper $names.hardware.chip) $words) -}}
      {{- $faults = append $faults (dict "value" (printf "pod.nodeSelector.%s" $label) "sentence" (printf "is %s, and the GPUs of %s are %s; write what their nodes are labelled with, or change hardware" $product $names.hardwareId $names.hardware.chip)) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $most := default $entry.replicas (default dict $entry.autoscaling).max | int64 -}}
{{- $room := max 1 (div $names.hardware.gpus $pods.devices) -}}
{{- if gt $most (mul $room $table.pod.mostMachines) -}}
  {{- $value := ternary "autoscaling.max" "replicas" (hasKey $entry "autoscaling") -}}
  {{- $faults = append $faults (dict "value" $value "sentence" (printf "is %d, more than the %v machines of %s hold that plans go up to; lower it to %d" $most $table.pod.mostMachines $names.hardwareId (mul $room $table.pod.mostMachines))) -}}
{{- end -}}
{{- dict "faults" $faults | toJson -}}
{{- end -}}

{{/* A quantity in bytes, or nothing where it is none. */}}
{{- define "r1.checks.bytes" -}}
{{- $text := toString . -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- if regexMatch "^[0-9]+(\\.[0-9]+)?([kMGT]|[KMGT]i)?$" $text -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- mulf (trimSuffix $unit $text | float64) (get $units $unit) | int64 -}}
{{- end -}}
{{- end -}}
