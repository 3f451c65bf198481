{{/* (root, text): a file of files/observability with the numbers of defaults.yaml there, or the
values', in place of `${name}`. Other names are left alone: Grafana has variables of that form. */}}
{{- define "r1.observability" -}}
{{- $root := index . 0 -}}
{{- $text := index . 1 -}}
{{- $given := merge (dict) $root.Values.monitoring.rules.values (dict
  "namespaces" $root.Release.Namespace
  "jobs" (printf "(.+/)?%s-.+" (include "r1.fullname" $root))) -}}
{{- $defaults := $root.Files.Get "files/observability/defaults.yaml" | fromYaml -}}
{{- range $name, $_ := $root.Values.monitoring.rules.values -}}
{{- if not (hasKey $defaults $name) -}}
{{- fail (printf "monitoring.rules.values.%s: no rule knows this value; there are: %s" $name (keys $defaults | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- range $name, $default := $defaults -}}
{{- $value := ternary (get $given $name) (get $default "value") (hasKey $given $name) -}}
{{- $text = replace (printf "${%s}" $name) (toString $value) $text -}}
{{- end -}}
{{- $text -}}
{{- end -}}

{{/* (root, file): the groups of a file of rules, in the chosen reading of the threshold table. */}}
{{- define "r1.observability.groups" -}}
{{- $root := index . 0 -}}
{{- $files := list (index . 1) -}}
{{- if $root.Values.monitoring.rules.plain -}}
{{- $files = append $files "files/observability/thresholds-plain.yaml" -}}
{{- end -}}
{{- $groups := list -}}
{{- range $files -}}
{{- range (include "r1.observability" (list $root ($root.Files.Get .)) | fromYaml).groups -}}
{{- if not (and $root.Values.monitoring.rules.plain (eq .name "r1-thresholds")) -}}
{{- $groups = append $groups . -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "groups" $groups | toYaml -}}
{{- end -}}

{{/* (root, name suffix, labels, annotations…): metadata with labels by which somebody finds it. */}}
{{- define "r1.observability.metadata" -}}
{{- $found := include "r1.metadata" (concat (list (index . 0) (index . 1) "monitoring") (slice . 3)) | fromYaml -}}
{{- merge (dict "labels" (merge (dict) $found.labels (index . 2))) $found | toYaml -}}
{{- end -}}
