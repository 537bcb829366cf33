# The operator's image; docs/how-to/build-the-image.md says how to build it. Both base
# images are pinned by digest. Without a digest the build fails at its first step, and the
# message contains the placeholder below. tests/image carries out the instructions of this
# file without a container engine.
ARG BUILDER_IMAGE=python:3.13-slim-trixie
ARG BUILDER_DIGEST=sha256:MISSING-give-it-as-build-arg-BUILDER_DIGEST
# Its Python must have the same minor version as the builder's; the last RUN step checks that.
ARG BASE_IMAGE=python:3.13-slim-trixie
ARG BASE_DIGEST=sha256:MISSING-give-it-as-build-arg-BASE_DIGEST
# The version in pyproject.toml.
ARG VERSION=0.1.0

FROM ${BUILDER_IMAGE}@${BUILDER_DIGEST} AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /tools
COPY requirements/build.txt requirements/run.txt requirements/
RUN /tools/bin/pip install --require-hashes --only-binary=:all: -r requirements/build.txt
# The operator runs no scripts of its dependencies, so they are removed. Python does not
# check whether the bytecode is older than its source, because nobody could write it again.
RUN /tools/bin/pip install --require-hashes --only-binary=:all: --no-compile \
    --target /app -r requirements/run.txt \
    && rm -r /app/bin \
    && python -m compileall -q --invalidation-mode unchecked-hash /app

FROM dependencies AS builder
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
ARG VERSION
# The modification time of all files, in seconds since 1970, so that the same sources give
# the same image.
ARG SOURCE_DATE_EPOCH=1577836800
RUN /tools/bin/hatchling build -t wheel -d /dist
RUN /tools/bin/pip install --no-deps --no-index --no-compile --target /app \
    /dist/zitadel_notification_operator-${VERSION}-py3-none-any.whl
# The path of Python in the base image, which may differ from the path in the builder.
ARG PYTHON=/usr/local/bin/python3
# The plugin of kubectl is for the machines of people: the image has no kubectl.
RUN ln -s "${PYTHON}" /app/bin/python \
    && sed -i '1s|.*|#!/app/bin/python|' /app/bin/znp \
    && rm /app/bin/kubectl-zitadel_notification /app/bin/kubectl_complete-zitadel_notification \
    && python -m compileall -q --invalidation-mode unchecked-hash \
        /app/zitadel_notification_operator \
    && find /app -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM ${BASE_IMAGE}@${BASE_DIGEST}
ARG BASE_IMAGE
ARG BASE_DIGEST
ARG VERSION
# The commit, the time of the build (RFC 3339), and the URL of the repository.
ARG REVISION
ARG CREATED
ARG SOURCE
LABEL org.opencontainers.image.title="zitadel-notification-operator" \
    org.opencontainers.image.description="Keeps ZITADEL's notification policies as declared in Kubernetes" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.vendor="zitadel-notification-operator" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}" \
    org.opencontainers.image.source="${SOURCE}" \
    org.opencontainers.image.url="${SOURCE}" \
    org.opencontainers.image.documentation="${SOURCE}" \
    org.opencontainers.image.base.name="${BASE_IMAGE}" \
    org.opencontainers.image.base.digest="${BASE_DIGEST}"
COPY --from=builder /app /app
# A numeric user that is not in /etc/passwd has no HOME and no USER, and the kubernetes
# package and kopf do not start without them.
ENV HOME=/ \
    USER=nonroot \
    ZNP_REVISION="${REVISION}" \
    PATH=/app/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /
USER 65532:65532
RUN ["/app/bin/python", "-c", "import zitadel_notification_operator.app"]
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
ENTRYPOINT ["/app/bin/znp"]
CMD ["run"]
