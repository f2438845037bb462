#!/bin/sh
# Starts Redis with access rules made from REDIS_PASSWORD_FILE.
#
# The rules are a file on a tmpfs that holds the hash of the password only; neither the arguments nor the environment of
# the server ever hold the password. The application may work with keys and run scripts, but not reconfigure the
# server, wipe it or look at other clients. It writes to /data, /run/redis and /tmp only, and needs no capability.
set -eu

die() { printf 'entrypoint: %s\n' "$*" >&2; exit 1; }

# Anything that is not the server (a shell, redis-cli) or options for it is run as it is.
case ${1:-redis-server} in
    redis-server) [ $# -eq 0 ] || shift ;;
    -*) ;;
    *) exec "$@" ;;
esac

if [ "$(id -u)" = 0 ]; then
    exec setpriv --reuid=redis --regid=redis --clear-groups -- "$0" "$@"
fi

umask 077
run=/run/redis
[ -w "$run" ] || die "$run is not writable; mount a tmpfs there"
[ -w /data ] || die "/data is not writable for user $(id -u); does the volume belong to another image?"
[ -r "${REDIS_PASSWORD_FILE:-}" ] || die "REDIS_PASSWORD_FILE is not set or cannot be read by user $(id -u)"

password=$(cat "$REDIS_PASSWORD_FILE")
[ "${#password}" -ge 16 ] || die "the password in $REDIS_PASSWORD_FILE has fewer than 16 characters"
hash=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)
unset password

# The user health can do nothing but PING; it is for probes that run in the container.
cat >"$run/users.acl" <<ACL
user default on #$hash ~* &* +@all -@admin -@dangerous +info +client|setinfo +client|setname +client|id
user health on nopass resetkeys resetchannels -@all +ping
ACL

# volatile-lru evicts keys that have an expiry only, and the default of 60 s between saves would lose a minute of them.
exec redis-server --bind '* -::*' --port 6379 --protected-mode yes --aclfile "$run/users.acl" \
    --unixsocket "$run/redis.sock" --unixsocketperm 700 --dir /data --daemonize no --logfile '' \
    --appendonly yes --appendfsync everysec --save '' --maxmemory 128mb --maxmemory-policy volatile-lru "$@"
