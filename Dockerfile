# syntax=docker/dockerfile:1
FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
# The caches outlive a build: only what changed is compiled again.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    cargo build --release --locked --all-features --bin sower && cp target/release/sower /sower && mkdir /empty

# libc, CA certificates and no shell.
FROM gcr.io/distroless/cc-debian12
COPY --from=build /sower /usr/local/bin/sower
# A number, so that `runAsNonRoot` can see it; the volume's first owner is the folder's.
COPY --from=build --chown=65532:65532 /empty /data
USER 65532:65532
ENV SOWER_DATA_DIR=/data
VOLUME /data
WORKDIR /data
EXPOSE 8080/tcp 8080/udp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["sower", "health"]
ENTRYPOINT ["sower"]
CMD ["serve"]
