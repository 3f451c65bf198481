{{/*
Every time on the path of an answer, in seconds, from one value: the longest answer. Whoever is
further out waits longer than whoever is further in, so that an answer is never cut by a neighbour
but by the one who knows why:

  replica (r1.replicaDrainSeconds) < gateway (r1.terminationGracePeriodSeconds) and its timeouts
    < ingress (r1.proxyTimeoutSeconds)
*/}}

{{/* The longest answer, its wait in the queue included. */}}
{{- define "r1.longestAnswerSeconds" -}}
{{- ceil .Values.longestAnswer | int64 -}}
{{- end -}}

{{/* How long a gateway that is told to go still takes connections: load balancers and kube-proxy
hear of it only now. */}}
{{- define "r1.preStopSeconds" -}}10{{- end -}}

{{/* A gateway's grace: the pause, its own drain delay and the longest answer, and time for last words. */}}
{{- define "r1.terminationGracePeriodSeconds" -}}
{{- add (include "r1.longestAnswerSeconds" .) (include "r1.preStopSeconds" .) 30 -}}
{{- end -}}

{{/* Read and send timeouts of whatever stands in front of the gateway. */}}
{{- define "r1.proxyTimeoutSeconds" -}}
{{- add (include "r1.longestAnswerSeconds" .) 60 -}}
{{- end -}}

{{/* How long a replica may drain: Ray Serve's graceful_shutdown_timeout_s (serving/engine/scaling.py). */}}
{{- define "r1.replicaDrainSeconds" -}}
{{- add (include "r1.longestAnswerSeconds" .) 30 -}}
{{- end -}}

{{/* Grace of pods with replicas: another replica starts elsewhere, then the longest answer ends here. */}}
{{- define "r1.workerGraceSeconds" -}}
{{- add (include "r1.replicaDrainSeconds" .) .Values.ray.replacementSeconds 60 -}}
{{- end -}}
