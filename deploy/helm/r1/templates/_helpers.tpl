{{/*
Names, labels and pieces that several templates share. Where a template takes more than the root, it
takes a list whose first item is the root.
*/}}

{{/* The application's name in labels. */}}
{{- define "r1.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* What all names of the release begin with: `r1` for a release `r1`, `prod-r1` for `prod`. */}}
{{- define "r1.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* (root, component): the labels by which Services, policies and budgets find pods; without a
component those of the whole release. KubeRay puts a name of its own into
app.kubernetes.io/name of its pods, so that is not one of them. */}}
{{- define "r1.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/instance: {{ $root.Release.Name }}
{{- if gt (len .) 1 }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}
{{- end -}}

{{/* (root, component): the labels of an object or a pod. */}}
{{- define "r1.labels" -}}
{{- $root := index . 0 -}}
{{ include "r1.selectorLabels" . }}
app.kubernetes.io/name: {{ include "r1.name" $root }}
app.kubernetes.io/part-of: r1
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* (root, component): the labels of a pod. Without the chart's version, so that an upgrade of the
chart alone restarts nothing. */}}
{{- define "r1.podLabels" -}}
{{- $root := index . 0 -}}
{{ include "r1.selectorLabels" . }}
app.kubernetes.io/name: {{ include "r1.name" $root }}
app.kubernetes.io/part-of: r1
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* (root, name suffix, component, annotations...): an object's metadata. Further items are maps of
annotations. */}}
{{- define "r1.metadata" -}}
{{- $root := index . 0 -}}
{{- $suffix := index . 1 -}}
{{- $annotations := dict -}}
{{- range slice . 3 }}{{ $annotations = merge $annotations . }}{{ end -}}
{{- $annotations = merge $annotations $root.Values.commonAnnotations -}}
name: {{ include "r1.fullname" $root }}{{ with $suffix }}-{{ . }}{{ end }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "r1.labels" (list $root (index . 2)) | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* (root, name): an image of the project with its tag, and its digest if one is given. */}}
{{- define "r1.image" -}}
{{- $root := index . 0 -}}
{{- $image := $root.Values.image -}}
{{- with $image.registry }}{{ . | trimSuffix "/" }}/{{ end -}}
{{- with $image.repository }}{{ . }}/{{ end -}}
{{- index . 1 }}:{{ default $root.Chart.AppVersion $image.tag -}}
{{- with get $image.digests (index . 1) }}@{{ . }}{{ end -}}
{{- end -}}

{{- define "r1.imagePullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* A pod's security context; all images of the project run as 10001. */}}
{{- define "r1.podSecurityContext" -}}
runAsNonRoot: true
{{- if .Values.podSecurity.fixedIds }}
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* A container's: PodSecurity `restricted`, and a root file system that nothing writes to. */}}
{{- define "r1.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The Secret with all keys: the user's own, or the chart's. */}}
{{- define "r1.secretName" -}}
{{- default (printf "%s-secrets" (include "r1.fullname" .)) .Values.secrets.existingSecret -}}
{{- end -}}

{{/* (root, variable, key): an environment variable from the Secret. */}}
{{- define "r1.secretEnv" -}}
{{ include "r1.envFrom" (list (index . 1) (include "r1.secretName" (index . 0)) (index . 2)) }}
{{- end -}}

{{/* (variable, Secret, key): an environment variable from any Secret. */}}
{{- define "r1.envFrom" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 }}
      key: {{ index . 2 }}
{{- end -}}

{{/*
(root, key): the volume with one key of the Secret, for pods that take keys from their environment.
The Secret is empty until its Job has run. The kubelet tries a mount again within seconds, a
container that lacks its environment only after up to a minute; and the Job writes all keys at once.
*/}}
{{- define "r1.keysVolume" -}}
- name: keys
  secret:
    secretName: {{ include "r1.secretName" (index . 0) }}
    defaultMode: 0440
    items:
      - {key: {{ index . 1 }}, path: {{ index . 1 }}}
{{- end -}}

{{/* Its mount: the kubelet doesn't wait for a volume that no container has. */}}
{{- define "r1.keysVolumeMount" -}}
- {name: keys, mountPath: /etc/r1/keys, readOnly: true}
{{- end -}}

{{/* A values' `pod`: what it says of scheduling. */}}
{{- define "r1.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* (root, component, pod, annotations…): the metadata of a pod's template. */}}
{{- define "r1.podMetadata" -}}
{{- $root := index . 0 -}}
{{- $pod := index . 2 -}}
{{- $annotations := dict -}}
{{- range slice . 3 }}{{ $annotations = merge $annotations . }}{{ end -}}
{{- $annotations = merge $annotations $pod.annotations $root.Values.commonAnnotations -}}
labels:
  {{- include "r1.podLabels" (list $root (index . 1)) | nindent 2 }}
  {{- with $pod.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A quantity of memory in MiB, rounded down: 512 of 512Mi or 0.5Gi. */}}
{{- define "r1.mebibytes" -}}
{{- $text := toString . -}}
{{- $bytes := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- if not (hasKey $bytes $unit) }}{{ fail (printf "%s is no quantity of memory: write it as 512Mi or 4Gi" $text) }}{{ end -}}
{{- divf (mulf (trimSuffix $unit $text | float64) (get $bytes $unit)) 1048576 | floor | int64 -}}
{{- end -}}

{{/* (root, component): a service account's name. */}}
{{- define "r1.serviceAccountName" -}}
{{- printf "%s-%s" (include "r1.fullname" (index . 0)) (index . 1) -}}
{{- end -}}
