"""The model plane on one machine: a Ray head on loopback and the Serve applications on it.

`python -m serving.local --config F` is what `r1 up` supervises. On Kubernetes KubeRay does the same
work from a RayService; both deploy the same applications (`serving.app:build`) from the same
arguments.
"""
