{{/*
Pieces of NetworkPolicies. Pods are told apart by release and component only: KubeRay overwrites
other labels of its pods.
*/}}

{{/* (root, component…): a selector of pods of any of these components. */}}
{{- define "r1.flows.pods" -}}
matchLabels:
  app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
matchExpressions:
  - key: app.kubernetes.io/component
    operator: In
    values: {{ rest . | toJson }}
{{- end -}}

{{/* TCP ports of a list of numbers. */}}
{{- define "r1.flows.ports" -}}
{{- range . }}
- {protocol: TCP, port: {{ . }}}
{{- end }}
{{- end -}}

{{/* Ray Serve's proxy and the replicas' own ports. */}}
{{- define "r1.flows.servePorts" -}}
- {protocol: TCP, port: 8000}
- {protocol: TCP, port: 30000, endPort: 31000}
{{- end -}}

{{/* Addresses outside: `cidrs`, `ports`, and `except`, of those blocks that they lie in. */}}
{{- define "r1.flows.outside" -}}
- to:
    {{- range $cidr := .cidrs }}
    - ipBlock:
        cidr: {{ $cidr | quote }}
        {{- $except := list }}
        {{- range $.except }}{{ if eq (contains ":" .) (contains ":" $cidr) }}{{ $except = append $except . }}{{ end }}{{ end }}
        {{- with $except }}
        except: {{ toJson . }}
        {{- end }}
    {{- end }}
  ports:
    {{- include "r1.flows.ports" .ports | nindent 4 }}
{{- end -}}

{{/* Whether a served model's weights come from outside: the nano models' lie in the image. */}}
{{- define "r1.flows.fetches" -}}
{{- $catalog := .Files.Get "files/catalog.yaml" | fromYaml -}}
{{- range include "r1.servedModels" . | fromJsonArray }}{{ if not (dig . "packaged" false $catalog) }}yes{{ end }}{{ end -}}
{{- end -}}

{{/* (root, name, components): a policy's head. */}}
{{- define "r1.flows.policy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "r1.metadata" (list (index . 0) (index . 1) "network") | nindent 2 }}
spec:
  podSelector:
    {{- include "r1.flows.pods" (concat (list (index . 0)) (index . 2)) | nindent 4 }}
{{- end -}}
