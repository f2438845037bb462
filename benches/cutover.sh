#!/usr/bin/env bash
# benches/cutover.sh [ROUNDS [CLIENT…]]: what clients of a service notice of its updates, and for how long a published
# port is away, beside `docker compose`; 5 rounds of all clients in tests/it/cutover/kinds.json unless told otherwise.
# `published` in place of clients measures the port only, `clients` the clients only.
#
# The engine is that of DOCKER_HOST, or of the default socket. One in a network namespace of its own is measured with
# `nsenter --net=NAMESPACE benches/cutover.sh`. Needs docker, node, and for the port `docker compose`. What it makes on the
# engine is called cimandat-bench-cutover… and removed again. BENCH_CIMANDAT names a built program; else it is built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case ${1:-5} in
    *[!0-9]* | 0) echo "usage: benches/cutover.sh [ROUNDS [CLIENT…]]" >&2; exit 2 ;;
esac
for program in docker node python3; do
    command -v "$program" >/dev/null || { echo "cutover.sh: $program is missing" >&2; exit 1; }
done

if [ -z "${BENCH_CIMANDAT:-}" ]; then
    cargo build --release --locked --bin cimandat
    BENCH_CIMANDAT=${CARGO_TARGET_DIR:-target}/release/cimandat
fi
BENCH_CIMANDAT=$(realpath "$BENCH_CIMANDAT")
BENCH_NODE_IMAGE=$(scripts/node-image)
export BENCH_CIMANDAT BENCH_NODE_IMAGE BENCH_PORT=${BENCH_PORT:-23110}
python3 benches/cutover.py "$@"
