# ptqd: the API and the workers in one image. No shell is needed to run it, and no user but its own.
#
#   docker build --build-arg PTQD_COMMIT=$(git rev-parse --short HEAD) -t ptqd .
#   docker run --read-only --tmpfs /tmp -v ptqd-data:/data -p 127.0.0.1:8080:8080 ptqd

FROM rust:1.95-slim-bookworm AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# The engine: pinned by its SHA-256, with its licence and the notices of what is in it.
COPY tests/tools/setup tests/tools/setup
RUN tests/tools/setup demo
COPY . .
ARG PTQD_COMMIT
RUN cargo build --release --locked \
    && mkdir -p out/lib out/data out/licenses/onnxruntime \
    && cp target/release/ptqd out/ \
    && cp .tools/onnxruntime/libonnxruntime.so.* out/lib/ \
    && ln -s "$(basename out/lib/libonnxruntime.so.*)" out/lib/libonnxruntime.so \
    && cp .tools/onnxruntime/LICENSE .tools/onnxruntime/ThirdPartyNotices.txt out/licenses/onnxruntime/ \
    && cp LICENSE out/licenses/

FROM debian:bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 ptqd \
    && useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin ptqd
COPY --from=build /build/out/ptqd /usr/local/bin/ptqd
COPY --from=build /build/out/lib /usr/local/lib/ptqd
COPY --from=build /build/out/licenses /usr/local/share/doc/ptqd
COPY --from=build --chown=10001:10001 /build/out/data /data
ENV ORT_DYLIB_PATH=/usr/local/lib/ptqd/libonnxruntime.so \
    PTQD_DATA_DIR=/data \
    PTQD_LISTEN=0.0.0.0:8080 \
    PTQD_LOG_FORMAT=json
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["ptqd", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["ptqd"]
CMD ["serve"]
