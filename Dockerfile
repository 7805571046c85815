# One image for every service: `docker build .`, then `loadstar gateway|adapter|autoscaler ...`.
#
# The same commit gives the same files: every package is pinned by hash, bytecode does not carry
# times, and SOURCE_DATE_EPOCH is the one time there is. Give the base images by digest where the
# layers too must be the same: --build-arg PYTHON_IMAGE=python@sha256:...

ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG SOURCE_DATE_EPOCH=0
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_COMPILE=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
# What changes seldom comes first. Wheels only: nothing is compiled here.
COPY manifests/image/requirements.lock manifests/image/build.lock ./
RUN python -m venv --without-pip /opt/loadstar \
 && python -m pip install --require-hashes --only-binary :all: --requirement build.lock --target /opt/backend \
 && python -m pip --python /opt/loadstar/bin/python install --require-hashes --only-binary :all: --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY loadstar loadstar
COPY protos protos
COPY gateway gateway
COPY metrics_adapter metrics_adapter
COPY autoscaler autoscaler
RUN PYTHONPATH=/opt/backend python -m pip --python /opt/loadstar/bin/python install --no-deps --no-build-isolation .
RUN python -m compileall -q --invalidation-mode unchecked-hash /opt/loadstar/lib \
 && find /opt/loadstar -exec touch --no-dereference --date=@${SOURCE_DATE_EPOCH} {} +

FROM ${PYTHON_IMAGE} AS run
ARG COMMIT=unknown
COPY --from=build /opt/loadstar /opt/loadstar
ENV PATH=/opt/loadstar/bin:$PATH \
    LOADSTAR_COMMIT=${COMMIT} \
    NUMBA_CACHE_DIR=/tmp/numba \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
LABEL org.opencontainers.image.title="Loadstar" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision=${COMMIT}
WORKDIR /tmp
USER 65532:65532
ENTRYPOINT ["loadstar"]
CMD ["--help"]
