# Almanac as an HTTP service:        docker run --rm -p 127.0.0.1:8000:8000 almanac
# as a STDIO server of an MCP client: docker run --rm -i almanac stdio
# What is kept lies in /state, what is served as files in /files: mount what is yours over them. Nothing else is
# written but /tmp: add --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges as you like.
# Another base needs Python 3.11 or newer as `python`, and apt: --build-arg BASE=python:3.12-slim-bookworm
ARG BASE=docker.io/library/python:3.13-slim

FROM ${BASE} AS build
WORKDIR /app
# Before the code, so that a change of code does not install everything again.
COPY requirements/run.txt /tmp/run.txt
# Without pip inside: what runs cannot install anything. Bytecode more than halves the start, but pip's goes by
# the time of the source, and a builder that rounds times when it writes a layer (buildah) makes all of it stale.
RUN python -m venv --without-pip /venv \
 && python -m pip --python /venv/bin/python install --no-cache-dir --no-compile --only-binary :all: \
      --require-hashes --requirement /tmp/run.txt \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /venv
COPY . .
# A checkout made under a strict umask is unreadable for another user. Checked: a file mounted over one counts.
RUN chmod -R u=rwX,go=rX . && python -m compileall -q --invalidation-mode checked-hash .

FROM ${BASE}
# English, Spanish, Catalan and French, each into each: what no pair joins goes by way of Catalan. ripgrep searches
# large trees of files. tini: see the end.
# Unpinned: a Debian release keeps only the newest build of a package, and that one has the security fixes.
# The official Python image deletes the standard library's bytecode, which no start could write back here.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      apertium apertium-eng-cat apertium-eng-spa apertium-fra-cat apertium-spa-cat ca-certificates ripgrep tini \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin almanac \
 && python -m compileall -q -x '/(ensurepip|idlelib|tkinter|turtledemo|site-packages|dist-packages)/' \
      "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=build /venv /venv
COPY --from=build /app /app
# A new volume takes over what is here, and whose it is.
RUN install -d -o almanac -g almanac -m 0700 /state \
 && cp -r /app/data/files /files && chown -R almanac:almanac /files
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ALMANAC_TRANSPORT=http \
    ALMANAC_HOST=0.0.0.0 \
    ALMANAC_PORT=8000 \
    ALMANAC_STATE_DIR=/state \
    ALMANAC_FILES_ROOT=/files
VOLUME ["/state", "/files"]
WORKDIR /app
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# http.client asks directly whatever HTTP_PROXY says.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-I", "-c", "\
import http.client, os, sys; \
here = http.client.HTTPConnection('127.0.0.1', int(os.environ['ALMANAC_PORT']), timeout=4); \
here.request('GET', '/health'); \
sys.exit(here.getresponse().status != 200)"]
# As process 1 Python would ignore SIGTERM while it serves STDIO, and leave orphans of translations as zombies.
ENTRYPOINT ["tini", "--", "python", "/app/server.py"]
# Last, for they change with each build.
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Almanac" \
      org.opencontainers.image.description="An MCP server: translation, weather, read-only SQL and sandboxed files" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
