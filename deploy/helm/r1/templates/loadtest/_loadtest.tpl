{{/* Pieces of the load test: one master that reports, and workers whose users ask. */}}

{{/* The address that is asked. */}}
{{- define "r1.loadtest.url" -}}
{{- default (printf "http://%s-gateway:%v/v1" (include "r1.fullname" .) .Values.gateway.service.port) .Values.loadtest.url -}}
{{- end -}}

{{/* Whether it ends by itself: then it is Jobs, else Deployments with a web page. */}}
{{- define "r1.loadtest.ends" -}}
{{- if .Values.loadtest.runTime }}yes{{ end -}}
{{- end -}}

{{/* (root, role): the command of a `master` or a `worker`. */}}
{{- define "r1.loadtest.command" -}}
{{- $load := (index . 0).Values.loadtest -}}
- python
- -m
- locust
- --locustfile=/opt/r1/loadtests/swarm/locustfile.py
- --host={{ include "r1.loadtest.url" (index . 0) }}
{{- if eq (index . 1) "worker" }}
- --worker
- --master-host={{ include "r1.fullname" (index . 0) }}-loadtest
{{- /* The master's status is the test's. */}}
- --exit-code-on-error=0
{{- else }}
- --master
- --expect-workers={{ $load.workers }}
{{- if include "r1.loadtest.ends" (index . 0) }}
- --headless
- --only-summary
- --users={{ $load.users }}
- --spawn-rate={{ $load.spawnRate }}
- --run-time={{ $load.runTime }}
{{- end }}
{{- end }}
{{- end -}}

{{/* (root, role): a pod's template. */}}
{{- define "r1.loadtest.pod" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
{{- $load := $root.Values.loadtest -}}
metadata:
  {{- include "r1.podMetadata" (list $root (printf "loadtest-%s" $role) $load.pod) | nindent 2 }}
spec:
  {{- include "r1.imagePullSecrets" $root | nindent 2 }}
  restartPolicy: {{ ternary "Never" "Always" (eq "yes" (include "r1.loadtest.ends" $root)) }}
  serviceAccountName: {{ include "r1.serviceAccountName" (list $root "gateway") }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  securityContext:
    {{- include "r1.podSecurityContext" $root | nindent 4 }}
  {{- include "r1.scheduling" $load.pod | nindent 2 }}
  containers:
    - name: locust
      image: {{ include "r1.image" (list $root "load") }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command:
        {{- include "r1.loadtest.command" . | nindent 8 }}
      env:
        - {name: R1_LOAD_MODEL, value: {{ default (include "r1.deepseekNames" $root) $load.model | quote }}}
        - {name: R1_LOAD_KEY_FILE, value: /etc/r1/keys/usual}
        - {name: R1_LOAD_WORKERS, value: {{ $load.workers | quote }}}
        {{- with $load.keys }}
        {{- $files := list }}
        {{- range $users, $_ := . }}{{ $files = append $files (printf "%s=/etc/r1/keys/%s" $users $users) }}{{ end }}
        - {name: R1_LOAD_KEY_FOR, value: {{ join "," $files | quote }}}
        {{- end }}
        {{- if $load.slo }}
        - {name: R1_LOAD_SLO, value: /etc/r1/loadtest/slo.yaml}
        {{- end }}
        {{- range $name, $value := $load.options }}
        - {name: R1_LOAD_{{ $name | upper | replace "-" "_" }}, value: {{ $value | quote }}}
        {{- end }}
        {{- with $load.pod.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- if eq $role "master" }}
      ports:
        - {name: workers, containerPort: 5557}
        - {name: page, containerPort: 8089}
      {{- end }}
      resources:
        {{- toYaml (get $load $role).resources | nindent 8 }}
      securityContext:
        {{- include "r1.containerSecurityContext" $root | nindent 8 }}
      volumeMounts:
        - {name: keys, mountPath: /etc/r1/keys, readOnly: true}
        {{- if $load.slo }}
        - {name: loadtest, mountPath: /etc/r1/loadtest, readOnly: true}
        {{- end }}
        - {name: tmp, mountPath: /tmp}
        {{- with $load.pod.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: keys
      projected:
        defaultMode: 0440
        sources:
          - secret:
              name: {{ default (include "r1.secretName" $root) $load.key.existingSecret }}
              items:
                - {key: {{ $load.key.key }}, path: usual}
          {{- range $users, $secret := $load.keys }}
          - secret:
              name: {{ $secret.existingSecret }}
              items:
                - {key: {{ default "api-key" $secret.key }}, path: {{ $users }}}
          {{- end }}
    {{- if $load.slo }}
    - name: loadtest
      configMap:
        name: {{ include "r1.fullname" $root }}-loadtest
    {{- end }}
    - name: tmp
      emptyDir: {}
    {{- with $load.pod.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
