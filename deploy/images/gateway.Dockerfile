# The request plane: a Python, its packages and this project, and nothing else. There is no shell
# and no package manager in it. `python -m scripts.images build gateway`
#
# The same makes an image of the load tests, by another LOCK and other PARTS of the project.

ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS packages
ARG LOCK=locks/gateway.txt
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
COPY ${LOCK} /tmp/lock.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv --without-pip /opt/venv \
    && pip --python /opt/venv install --no-deps --only-binary :all: --no-compile -r /tmp/lock.txt
COPY deploy/images/rootfs.py deploy/images/sbom.py /tmp/
RUN /opt/venv/bin/python -I /tmp/rootfs.py /rootfs /opt/venv \
    && mkdir -p /rootfs/usr/share/sbom \
    && /opt/venv/bin/python -I /tmp/sbom.py /tmp/lock.txt /rootfs > /rootfs/usr/share/sbom/r1.cdx.json

# Compiled here, as nothing can be written where it runs; with checks, so that a file that is mounted
# or copied over one of these counts.
FROM packages AS project
WORKDIR /opt/r1
COPY pyproject.toml LICENSE ./
ARG PARTS="gateway loadtests r1 serving"
COPY gateway gateway
COPY loadtests loadtests
COPY r1 r1
COPY serving serving
# Another user reads it: what a checkout's umask kept from others would stop it.
RUN rm -rf serving/nano/weights \
    && for part in */; do case " ${PARTS} " in *" ${part%/} "*) ;; *) rm -rf "${part}" ;; esac; done \
    && python3 -m compileall -q --invalidation-mode checked-hash . \
    && chmod -R a+rX .

FROM scratch
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG TITLE="r1 gateway"
LABEL org.opencontainers.image.title="${TITLE}" \
      org.opencontainers.image.licenses="MIT" \
      r1.sbom="/usr/share/sbom/r1.cdx.json"
COPY --from=packages /rootfs /
ENV PATH=/opt/venv/bin \
    PYTHONPATH=/opt/r1 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LANG=C.UTF-8 \
    HOME=/tmp
WORKDIR /opt/r1
USER 10001:10001
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/livez', timeout=4)"]
CMD ["python", "-m", "gateway", "--config", "/etc/r1/gateway.yaml"]
COPY --from=project /opt/r1 /opt/r1
LABEL org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
