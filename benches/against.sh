#!/usr/bin/env bash
# benches/against.sh [RUNS]: measures `cimandat` against `docker compose` and against the floor (floor.rs), on one stack,
# in one run, in turns; 5 rounds unless told otherwise. Needs an engine, `docker compose`, openssl and python3. What it
# makes on the engine is called cimandat-bench-… and removed again. Wants a quiet machine: the load is printed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case ${1:-5} in
    *[!0-9]* | 0) echo "usage: benches/against.sh [RUNS]" >&2; exit 2 ;;
esac
for program in docker openssl python3; do
    command -v "$program" >/dev/null || { echo "against.sh: $program is missing" >&2; exit 1; }
done
docker compose version >/dev/null

release=${CARGO_TARGET_DIR:-target}/release
cargo build --release --locked --bin cimandat --bench floor
# Cargo puts a hash into the name of a bench; the newest one is what was just built.
floor=$(find "$release/deps" -maxdepth 1 -name 'floor-*' -perm -u+x -type f -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2-)
export BENCH_CIMANDAT=$release/cimandat BENCH_FLOOR=$floor
export BENCH_FRONTEND_PORT=${BENCH_FRONTEND_PORT:-23100} BENCH_BACKEND_PORT=${BENCH_BACKEND_PORT:-23101}

bench_images() { docker images --format '{{.Repository}}:{{.Tag}}' "cimandat-bench-$1"; }

untag() {
    local tags
    mapfile -t tags < <(bench_images '*')
    [ "${#tags[@]}" = 0 ] || docker rmi "${tags[@]}" >/dev/null
}

cleanup() {
    python3 benches/measure.py clean || true
    untag || true
    rm -rf "$BENCH_SECRETS"
}
BENCH_SECRETS=$(mktemp -d)
export BENCH_SECRETS
trap cleanup EXIT

# Old tags go first, so that one of each is left; the layers are in the engine's build cache.
untag
"$BENCH_CIMANDAT" build --project-name cimandat-bench --file manifests/ci-mandat.kdl --progress quiet
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
