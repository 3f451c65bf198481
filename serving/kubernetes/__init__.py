"""The model plane on Kubernetes without an operator.

`python -m serving.kubernetes` hands the Serve configuration to Ray's head and lets the workers of
each model follow the replicas that Ray Serve wants; `python -m serving.kubernetes.ray_node` is the
first process of each Ray pod. The chart (deploy/helm/r1) makes both.
"""
