# The registry as a container: a self-contained program, nothing else but Debian's TLS library and certificates.
ARG SDK_IMAGE=mcr.microsoft.com/dotnet/sdk:10.0
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${SDK_IMAGE} AS build
WORKDIR /source
# The packages are a layer of their own: they change rarely, the source often.
COPY global.json Directory.Build.props Directory.Packages.props .editorconfig ./
COPY api/Registry.Api.csproj api/
COPY engine/Registry.Engine.csproj engine/
COPY storage/Registry.Storage.csproj storage/
COPY migrations/postgres/Registry.Migrations.Postgres.csproj migrations/postgres/
COPY migrations/sqlite/Registry.Migrations.Sqlite.csproj migrations/sqlite/
RUN dotnet restore api -r linux-x64 -p:SelfContained=true --nologo -v quiet
COPY . .
RUN dotnet publish api -c Release -r linux-x64 --self-contained --no-restore -p:RunAnalyzers=false -o /published --nologo -v quiet

FROM ${BASE_IMAGE}
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates libssl3 libdeflate0 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /var/lib/registry --create-home registry
COPY --from=build /published /opt/registry
RUN ln -s /opt/registry/registry /usr/local/bin/registry
USER registry
WORKDIR /var/lib/registry
ENV Registry__DataDirectory=/var/lib/registry \
    Registry__Endpoints__Http=http://0.0.0.0:9292 \
    Registry__Endpoints__Grpc=http://0.0.0.0:9293 \
    Registry__Endpoints__Metrics=http://0.0.0.0:9294
VOLUME /var/lib/registry
EXPOSE 9292 9293 9294
# Debian's slim image has no curl.
HEALTHCHECK --interval=2s --timeout=5s --start-period=30s --retries=15 \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9292 && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ code _ <&3 && [ \"$code\" = 200 ]"]
ENTRYPOINT ["/opt/registry/registry"]
CMD ["serve"]
