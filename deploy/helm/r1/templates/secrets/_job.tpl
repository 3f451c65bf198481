{{/* The specification of the Job that fills the Secret; the Job is named after its hash. */}}
{{- define "r1.secretsJobSpec" -}}
{{- $job := .Values.secrets.job -}}
{{- $name := include "r1.secretName" . -}}
backoffLimit: 10
template:
  metadata:
    {{- include "r1.podMetadata" (list . "secrets" $job.pod) | nindent 4 }}
  spec:
    {{- include "r1.imagePullSecrets" . | nindent 4 }}
    restartPolicy: OnFailure
    serviceAccountName: {{ include "r1.serviceAccountName" (list . "secrets") }}
    automountServiceAccountToken: true
    enableServiceLinks: false
    securityContext:
      {{- include "r1.podSecurityContext" . | nindent 6 }}
    {{- include "r1.scheduling" $job.pod | nindent 4 }}
    containers:
      - name: fill
        image: {{ include "r1.image" (list . "gateway") }}
        imagePullPolicy: {{ .Values.image.pullPolicy }}
        command: [python, -m, r1.kubernetes.fill_secret]
        args:
          - {{ .Release.Namespace }}
          - {{ $name }}
          - --first-tenant={{ .Values.secrets.firstKey.tenant }}
          - --first-name={{ .Values.secrets.firstKey.name }}
        {{- with $job.pod.extraEnv }}
        env:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        resources:
          {{- toYaml $job.resources | nindent 10 }}
        securityContext:
          {{- include "r1.containerSecurityContext" . | nindent 10 }}
        {{- with $job.pod.extraVolumeMounts }}
        volumeMounts:
          {{- toYaml . | nindent 10 }}
        {{- end }}
    {{- with $job.pod.extraVolumes }}
    volumes:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end -}}
