#!/usr/bin/env bash
# benches/against.sh [RUNS]: measures `cimandat` against `docker compose` and against the floor (floor.rs), on one stack,
# in one run, in turns; 5 rounds unless told otherwise. Needs an engine, `docker compose`, openssl and python3. What it
# makes on the engine is called cimandat-bench-… and removed again. Wants a quiet machine: the load is printed.
#
# The engine is that of DOCKER_HOST, or of the default socket. One that has no way out cannot build the images: BENCH_BUILDER
# is then the address of another, which builds them, and from which they are taken. On engines before 25, docker compose looks
# every second, and there is no floor: they connect a container to one network at its creation, and know no start_interval.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case ${1:-5} in
    *[!0-9]* | 0) echo "usage: benches/against.sh [RUNS]" >&2; exit 2 ;;
esac
for program in docker openssl python3; do
    command -v "$program" >/dev/null || { echo "against.sh: $program is missing" >&2; exit 1; }
done
docker compose version >/dev/null

if [ -z "${BENCH_CIMANDAT:-}" ]; then
    release=${CARGO_TARGET_DIR:-target}/release
    cargo build --release --locked --bin cimandat --bench floor
    # Cargo puts a hash into the name of a bench; the newest one is what was just built.
    BENCH_FLOOR=$(find "$release/deps" -maxdepth 1 -name 'floor-*' -perm -u+x -type f -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2-)
    BENCH_CIMANDAT=$release/cimandat
fi
# Where both are given, nothing is built; without a floor there is none.
export BENCH_CIMANDAT BENCH_FLOOR=${BENCH_FLOOR:-}
export BENCH_FRONTEND_PORT=${BENCH_FRONTEND_PORT:-23100} BENCH_BACKEND_PORT=${BENCH_BACKEND_PORT:-23101}

bench_images() { docker images --format '{{.Repository}}:{{.Tag}}' "cimandat-bench-$1"; }

# on_builder COMMAND…: on the engine that builds the images.
on_builder() { DOCKER_HOST=${BENCH_BUILDER:-${DOCKER_HOST:-}} "$@"; }

untag() {
    local tags
    mapfile -t tags < <(bench_images '*')
    [ "${#tags[@]}" = 0 ] || docker rmi "${tags[@]}" >/dev/null
}

cleanup() {
    python3 benches/measure.py clean || true
    untag || true
    on_builder untag || true
    rm -rf "$BENCH_SECRETS" "$scratch"
}
BENCH_SECRETS=$(mktemp -d) scratch=$(mktemp -d)
export BENCH_SECRETS BENCH_COMPOSE=benches/compose.yaml
trap cleanup EXIT

case $(docker version --format '{{.Server.APIVersion}}') in
    1.[123]? | 1.4[0123])
        export BENCH_FLOOR= BENCH_INTERVAL=1s BENCH_COMPOSE=$scratch/compose.yaml
        grep -v start_interval benches/compose.yaml >"$BENCH_COMPOSE"
        ;;
esac

# Old tags go first, so that one of each is left; the layers are in the engine's build cache.
untag
on_builder untag
on_builder "$BENCH_CIMANDAT" build --project-name cimandat-bench --file manifests/ci-mandat.kdl --progress quiet
if [ -n "${BENCH_BUILDER:-}" ]; then
    mapfile -t built < <(on_builder bench_images '*')
    on_builder docker save "${built[@]}" | docker load >/dev/null
fi
BENCH_POSTGRES=$(bench_images postgres) BENCH_REDIS=$(bench_images redis)
BENCH_BACKEND=$(bench_images backend) BENCH_FRONTEND=$(bench_images frontend)
export BENCH_POSTGRES BENCH_REDIS BENCH_BACKEND BENCH_FRONTEND

# Secrets of the bench's own, in files that every container may read: they are mounted by all in the same way.
export BENCH_REDIS_PASSWORD=$(openssl rand -hex 16)
printf %s "$BENCH_REDIS_PASSWORD" >"$BENCH_SECRETS/redis_password"
openssl rand -hex 16 >"$BENCH_SECRETS/db_password"
openssl rand -hex 32 >"$BENCH_SECRETS/encryption_key"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=postgres \
    -addext subjectAltName=DNS:postgres -keyout "$BENCH_SECRETS/tls.key" -out "$BENCH_SECRETS/tls.crt" 2>/dev/null
cp "$BENCH_SECRETS/tls.crt" "$BENCH_SECRETS/ca.crt"
chmod -R a+rX "$BENCH_SECRETS"

python3 benches/measure.py "${1:-5}"
