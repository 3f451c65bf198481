"""Builds the images of deploy/images and brings them into a cluster.

    python -m scripts.images build [NAME…]         gateway and serving-cpu, where none is named
    python -m scripts.images load [NAME…]          build, then load into the cluster at hand
    python -m scripts.images push REGISTRY [NAME…] build, then push

Docker is the one that DOCKER_HOST names. Standard library only, so that it runs before `make`.
"""
