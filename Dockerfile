# syntax=docker/dockerfile:1
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
# The binary then carries the list of its dependencies, which scanners of images read.
RUN cargo install --locked cargo-auditable@0.7.7
COPY . .
# The caches keep dependencies, downloaded and built, from one build to the next.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo auditable build --profile dist --locked --bin token-authority \
    && cp target/dist/token-authority /token-authority \
    && install -d -m 0700 /data

FROM debian:12.12-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /token-authority /usr/local/bin/token-authority
COPY --from=build --chown=65532:65532 /data /var/lib/token-authority
ENV ENVIRONMENT=production \
    DATA_DIR=/var/lib/token-authority \
    GRPC_ADDR=0.0.0.0:50051 \
    HTTP_ADDR=0.0.0.0:8080 \
    METRICS_ADDR=0.0.0.0:9464
USER 65532:65532
VOLUME /var/lib/token-authority
EXPOSE 50051 8080 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["token-authority", "health"]
ENTRYPOINT ["token-authority"]
CMD ["serve"]
