{{/*
(root, component, settings): a Redis with its Service. `settings` has passwordKey (in the Secret),
policy (of eviction), maxMemoryMiB, resources, persistence and pod.
*/}}

{{/* The configuration without the password, which the container adds from a file: neither a
ConfigMap nor a process's arguments are a place for it. */}}
{{- define "r1.redisConfig" -}}
port 6379
protected-mode no
dir /data
maxmemory {{ .maxMemoryMiB }}mb
maxmemory-policy {{ .policy }}
save ""
{{- if .persistence.enabled }}
appendonly yes
appendfsync everysec
{{- else }}
appendonly no
{{- end }}
include /run/redis/password.conf
{{- end -}}

{{- define "r1.redis" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $settings := index . 2 -}}
{{- $pod := $settings.pod -}}
{{- $image := $root.Values.redis.image -}}
{{- $config := include "r1.redisConfig" $settings -}}
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "r1.metadata" (list $root $component $component) | nindent 2 }}
data:
  redis.conf: |
    {{- $config | nindent 4 }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "r1.metadata" (list $root $component $component) | nindent 2 }}
automountServiceAccountToken: false
---
apiVersion: v1
kind: Service
metadata:
  {{- include "r1.metadata" (list $root $component $component) | nindent 2 }}
spec:
  type: ClusterIP
  selector:
    {{- include "r1.selectorLabels" (list $root $component) | nindent 4 }}
  ports:
    - {name: redis, port: 6379, targetPort: redis, protocol: TCP}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  {{- include "r1.metadata" (list $root $component $component) | nindent 2 }}
spec:
  replicas: 1
  serviceName: {{ include "r1.fullname" $root }}-{{ $component }}
  selector:
    matchLabels:
      {{- include "r1.selectorLabels" (list $root $component) | nindent 6 }}
  template:
    metadata:
      {{- include "r1.podMetadata" (list $root $component $pod (dict "checksum/config" (sha256sum $config))) | nindent 6 }}
    spec:
      {{- include "r1.imagePullSecrets" $root | nindent 6 }}
      serviceAccountName: {{ include "r1.serviceAccountName" (list $root $component) }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: 60
      securityContext:
        runAsNonRoot: true
        {{- if $root.Values.podSecurity.fixedIds }}
        runAsUser: {{ $image.runAsUser }}
        runAsGroup: {{ $image.runAsUser }}
        fsGroup: {{ $image.runAsUser }}
        fsGroupChangePolicy: OnRootMismatch
        {{- end }}
        seccompProfile:
          type: RuntimeDefault
      {{- include "r1.scheduling" $pod | nindent 6 }}
      containers:
        - name: redis
          image: {{ $image.repository }}:{{ $image.tag }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command:
            - sh
            - -ec
            - |
              umask 077
              printf 'requirepass "%s"\n' "$(cat /run/secrets/r1/password)" >/run/redis/password.conf
              exec redis-server /etc/redis/redis.conf
          env:
            # redis-cli's, for the probes.
            {{- include "r1.secretEnv" (list $root "REDISCLI_AUTH" $settings.passwordKey) | nindent 12 }}
            {{- with $pod.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          ports:
            - {name: redis, containerPort: 6379}
          # While it reads its log it answers PING with an error. The log may be long.
          startupProbe:
            exec: {command: [sh, -c, "test PONG = \"$(redis-cli ping)\""]}
            periodSeconds: 2
            timeoutSeconds: 5
            failureThreshold: 300
          readinessProbe:
            exec: {command: [sh, -c, "test PONG = \"$(redis-cli ping)\""]}
            periodSeconds: 10
            timeoutSeconds: 10
            failureThreshold: 3
          livenessProbe:
            tcpSocket: {port: redis}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          resources:
            {{- toYaml $settings.resources | nindent 12 }}
          securityContext:
            {{- include "r1.containerSecurityContext" $root | nindent 12 }}
          volumeMounts:
            - {name: config, mountPath: /etc/redis, readOnly: true}
            - {name: password, mountPath: /run/secrets/r1, readOnly: true}
            - {name: run, mountPath: /run/redis}
            - {name: data, mountPath: /data}
            {{- with $pod.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - name: config
          configMap:
            name: {{ include "r1.fullname" $root }}-{{ $component }}
        - name: password
          secret:
            secretName: {{ include "r1.secretName" $root }}
            defaultMode: 0440
            items:
              - {key: {{ $settings.passwordKey }}, path: password}
        - name: run
          emptyDir:
            medium: Memory
            sizeLimit: 1Mi
        {{- if not $settings.persistence.enabled }}
        - name: data
          emptyDir: {}
        {{- end }}
        {{- with $pod.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  {{- if $settings.persistence.enabled }}
  # Keys, budgets and usage outlive the release; docs/kubernetes.md says how to remove them.
  persistentVolumeClaimRetentionPolicy:
    whenDeleted: Retain
    whenScaled: Retain
  volumeClaimTemplates:
    - metadata:
        name: data
        labels:
          {{- include "r1.selectorLabels" (list $root $component) | nindent 10 }}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $settings.persistence.storageClassName }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests:
            storage: {{ $settings.persistence.size }}
  {{- end }}
{{- end -}}
