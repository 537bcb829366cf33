# The operator's image; how to build it: docs/how-to/build-the-image.md. Both bases are
# taken by digest. Without one the build ends at its first line, with the words below in
# the message. tests/image does what this file says, without a container engine.
ARG BUILDER_IMAGE=python:3.13-slim-trixie
ARG BUILDER_DIGEST=sha256:MISSING-give-it-as-build-arg-BUILDER_DIGEST
# Its Python must be of the builder's minor version: the last step of all makes sure.
ARG BASE_IMAGE=python:3.13-slim-trixie
ARG BASE_DIGEST=sha256:MISSING-give-it-as-build-arg-BASE_DIGEST
# The version of pyproject.toml.
ARG VERSION=0.1.0

FROM ${BUILDER_IMAGE}@${BUILDER_DIGEST} AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /tools
COPY requirements/build.txt requirements/run.txt requirements/
RUN /tools/bin/pip install --require-hashes --only-binary=:all: -r requirements/build.txt
# Scripts of dependencies are nothing that the operator runs. Bytecode is never checked
# against its source's age: nobody could write it anew.
RUN /tools/bin/pip install --require-hashes --only-binary=:all: --no-compile \
    --target /app -r requirements/run.txt \
    && rm -r /app/bin \
    && python -m compileall -q --invalidation-mode unchecked-hash /app

FROM dependencies AS builder
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
ARG VERSION
# Seconds since 1970: the age of all files, so that the same sources make the same image.
ARG SOURCE_DATE_EPOCH=1577836800
RUN /tools/bin/hatchling build -t wheel -d /dist
RUN /tools/bin/pip install --no-deps --no-index --no-compile --target /app \
    /dist/zitadel_notification_operator-${VERSION}-py3-none-any.whl
# Where the base has its Python, which need not be where the builder has its own.
ARG PYTHON=/usr/local/bin/python3
RUN ln -s "${PYTHON}" /app/bin/python \
    && sed -i '1s|.*|#!/app/bin/python|' /app/bin/znp \
    && python -m compileall -q --invalidation-mode unchecked-hash \
        /app/zitadel_notification_operator \
    && find /app -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM ${BASE_IMAGE}@${BASE_DIGEST}
ARG BASE_IMAGE
ARG BASE_DIGEST
ARG VERSION
# The commit, the time of the build (RFC 3339), and the address of the repository.
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
# HOME and USER: a number that stands in no /etc/passwd has neither, and the kubernetes
# package and kopf will not start without.
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
