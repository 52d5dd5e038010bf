FROM rust:1.95-bookworm AS build
WORKDIR /build
# The dependencies first, against an empty program: they change less often than the source does.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src benches && touch src/lib.rs benches/announce.rs && echo 'fn main() {}' > src/main.rs && cargo build --release --locked
COPY . .
# The empty program's files are newer than the source.
RUN touch src/lib.rs src/main.rs && cargo build --release --locked && mkdir /empty

FROM debian:bookworm-slim
COPY --from=build /build/target/release/sower /usr/local/bin/sower
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
