# The configuration goes to /etc/rendis/rendis.toml. In a container its rings have to listen beyond loopback, as in
# listen = "0.0.0.0:6380", and so need a [[ring.user]] with a password, or no_auth = true:
#
#   docker build -t rendis .
#   docker run -p 6380:6380 -v ./rendis.toml:/etc/rendis/rendis.toml:ro rendis
#
# `docker stop` waits 10 s by default, as long as `drain`: give it more with `docker stop -t 30`.

FROM rust:1.88-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p rendis-cli && strip target/release/rendis

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/rendis /usr/local/bin/rendis
USER 65532:65532
EXPOSE 6380
STOPSIGNAL SIGTERM
ENTRYPOINT ["rendis"]
CMD ["serve", "--config", "/etc/rendis/rendis.toml"]
