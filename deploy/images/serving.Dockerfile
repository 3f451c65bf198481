# The model plane: Ray Serve and vLLM, with the nano models inside. One file for processors and GPUs:
# `python -m scripts.images build serving-cpu`, `… serving-gpu` (scripts/images/catalog.py has the
# GPU's build arguments).

ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS system
# wget and bash are what KubeRay's probes call; engines compile kernels when they start.
ARG SYSTEM_PACKAGES="bash ca-certificates g++ libgomp1 libnuma1 tini wget"
ARG PYTHON=python3.11
ENV DEBIAN_FRONTEND=noninteractive
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean \
    && apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends ${SYSTEM_PACKAGES} \
    # Python's headers come with python.org's builds, and in a package of their own with Debian's.
    && { ${PYTHON} -c "import os, sysconfig as s; os.stat(s.get_path('include') + '/Python.h')" \
         2>/dev/null || apt-get install -y -qq --no-install-recommends ${PYTHON}-dev; } \
    && rm -rf /var/log/* /usr/share/doc/* /usr/share/man/*
RUN groupadd --gid 10001 r1 \
    && useradd --uid 10001 --gid 10001 --home-dir /var/cache/r1 --no-create-home --shell /bin/bash r1 \
    && install -d -o r1 -g r1 /var/cache/r1

FROM system AS packages
ARG LOCK=locks/serving-cpu.txt
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
COPY ${LOCK} /tmp/lock.txt
# torch first and by itself, from PyTorch's own index where no other has this build.
RUN --mount=type=cache,target=/root/.cache/pip \
    ${PYTHON} -m venv /opt/venv \
    && install="/opt/venv/bin/pip install --no-deps --only-binary :all: --no-compile" \
    && torch="$(grep -x 'torch==.*' /tmp/lock.txt)" \
    && { ${install} "${torch}" || ${install} --index-url "${TORCH_INDEX}" "${torch}"; } \
    && ${install} -r /tmp/lock.txt
# Nothing can be written where it runs, so all is compiled here, and what only tests use goes.
# Some packages carry files for other Pythons, which do not compile: that is no fault.
RUN /opt/venv/bin/pip uninstall -q -y pip \
    && find /opt/venv/lib -type d -name tests -prune -exec rm -rf {} + \
    && { /opt/venv/bin/python -m compileall -qq -j0 --invalidation-mode unchecked-hash \
         /opt/venv/lib || true; }
COPY deploy/images/sbom.py /tmp/
RUN mkdir -p /usr/share/sbom \
    && /opt/venv/bin/python -I /tmp/sbom.py /tmp/lock.txt / > /usr/share/sbom/r1.cdx.json

FROM packages AS project
WORKDIR /opt/r1
COPY pyproject.toml LICENSE ./
COPY gateway gateway
COPY r1 r1
COPY serving serving
# Another user reads it: what a checkout's umask kept from others would stop it.
RUN rm -rf serving/nano/weights \
    && /opt/venv/bin/python -m compileall -q --invalidation-mode checked-hash . \
    && chmod -R a+rX .

FROM system AS weights
COPY serving/nano/weights /weights
RUN chmod -R a+rX /weights

FROM system
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG TITLE="r1 serving (CPU)"
LABEL org.opencontainers.image.title="${TITLE}" \
      org.opencontainers.image.licenses="MIT" \
      r1.sbom="/usr/share/sbom/r1.cdx.json"
COPY --from=packages /opt/venv /opt/venv
COPY --from=packages /usr/share/sbom /usr/share/sbom
ENV PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONPATH=/opt/r1 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LANG=C.UTF-8 \
    HOME=/var/cache/r1 \
    HF_HOME=/var/cache/r1/huggingface \
    XDG_CACHE_HOME=/var/cache/r1 \
    XDG_CONFIG_HOME=/var/cache/r1/config \
    TORCHINDUCTOR_CACHE_DIR=/var/cache/r1/torchinductor \
    TRITON_CACHE_DIR=/var/cache/r1/triton \
    VLLM_CACHE_ROOT=/var/cache/r1/vllm \
    VLLM_CONFIG_ROOT=/var/cache/r1/vllm-config \
    VLLM_NO_USAGE_STATS=1 \
    RAY_USAGE_STATS_ENABLED=0 \
    HF_HUB_DISABLE_TELEMETRY=1
WORKDIR /opt/r1
USER 10001:10001
EXPOSE 6379 8000 8082 30000-31000
HEALTHCHECK --interval=15s --timeout=10s --start-period=300s --retries=4 \
    CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8082/livez"]
ENTRYPOINT ["/usr/bin/tini", "-g", "--"]
CMD ["python", "-m", "r1", "engine-args", "--help"]
COPY --from=weights /weights serving/nano/weights
COPY --from=project /opt/r1 /opt/r1
LABEL org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
