#!/bin/sh
# Starts PostgreSQL; makes the cluster first when the data directory is empty.
#
# It never needs root, capabilities or a writable root file system: it writes to the data directory, to /tmp and to
# /run/postgresql only. The variables have the names of the official image where they mean the same:
#
#   POSTGRES_USER              role that owns the database (required at the first start)
#   POSTGRES_DB                the database (default: as the role)
#   POSTGRES_PASSWORD_FILE     file with the role's password; POSTGRES_PASSWORD works too, but shows in inspections.
#                              Unlike in the official image it counts at every start: a new container with another
#                              password teaches it to the database, and an old one that is started again its own.
#   PG_TLS_CERT_FILE, PG_TLS_KEY_FILE
#                              the server's certificate and key
#   PG_ALLOW_PLAINTEXT=1       start without them
#   PG_SUPERUSER=1             make the role a superuser, as the official image does
#   POSTGRES_INITDB_ARGS       more options for initdb
#
# /docker-entrypoint-initdb.d/*.sql run once, as that role, when the cluster is made.
set -eu

say() { printf 'entrypoint: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# Anything that is not the server (a shell, psql) or options for it is run as it is.
case ${1:-postgres} in
    postgres) [ $# -eq 0 ] || shift ;;
    -*) ;;
    *) exec "$@" ;;
esac

if [ "$(id -u)" = 0 ]; then
    # Only when someone overrides the image's user. The volume then has to belong to postgres already.
    exec setpriv --reuid=postgres --regid=postgres --clear-groups -- "$0" "$@"
fi

: "${PGDATA:=/var/lib/postgresql/data}"
user=${POSTGRES_USER:-}
database=${POSTGRES_DB:-$user}
run=/run/postgresql
init=$PGDATA/.init

umask 077
[ -w "$run" ] || die "$run is not writable; mount a tmpfs there"
[ -w "$PGDATA" ] || die "$PGDATA is not writable for user $(id -u); does the volume belong to another image?"
[ -n "$user" ] || die "POSTGRES_USER is not set"
[ "$user" != postgres ] || die "POSTGRES_USER must not be postgres: that role administers the cluster from inside only"
case $user$database in
    *[!a-zA-Z0-9_-]*) die "POSTGRES_USER and POSTGRES_DB may consist of letters, digits, _ and - only" ;;
esac

# --- the first start ------------------------------------------------------------------------------------------------
#
# The cluster is made in $PGDATA/.init and its files are moved up when it is complete, PG_VERSION last. A start that is
# cut off at any point leaves no PG_VERSION behind, and the next one begins again.

read_password() {
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
        [ -z "${POSTGRES_PASSWORD:-}" ] || die "both POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are set"
        [ -r "$POSTGRES_PASSWORD_FILE" ] || die "$POSTGRES_PASSWORD_FILE cannot be read by user $(id -u)"
        PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
    else
        PASSWORD=${POSTGRES_PASSWORD:-}
    fi
    [ -n "$PASSWORD" ] || die "the password is empty; set POSTGRES_PASSWORD_FILE"
    # It goes into one line of SQL.
    case $PASSWORD in *"
"*) die "the password has more than one line" ;; esac
}

# What is here besides an unfinished initialisation? (A volume that is a file system of its own has lost+found.)
foreign_files() {
    find "$PGDATA" -mindepth 1 -maxdepth 1 ! -name .init ! -name lost+found -print -quit
}

stop_init_server() {
    PGDATA=$init pg_ctl stop -m "$1" -s -w >/dev/null 2>&1 || true
}

initialise() {
    read_password
    # A folder of its own, so that nobody else meets the server that runs during the initialisation: a probe on the
    # usual socket or on TCP succeeds only with the real one.
    init_socket=$run/init
    trap 'stop_init_server immediate; rm -rf "$init"; say "the first start was cut off; nothing was kept"; exit 143' TERM INT
    rm -rf "$init"
    mkdir "$init"

    say "making the cluster"
    # The built-in locale needs no locale package, and indexes do not break when the C library's collation changes.
    # The options are meant to be split.
    # shellcheck disable=SC2086
    initdb -D "$init" -U postgres --auth=peer --no-sync --no-instructions --data-checksums \
        --encoding=UTF8 --locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C.UTF-8 \
        ${POSTGRES_INITDB_ARGS:-} >/dev/null || fail "initdb failed"

    mkdir -p "$init_socket"
    PGDATA=$init pg_ctl start -s -w -o "-c listen_addresses= -c unix_socket_directories=$init_socket \
        -c fsync=off -c log_statement=none -c log_min_error_statement=panic -c logging_collector=off \
        -c log_min_messages=error" >/dev/null || fail "the server did not start"

    # The password is handed over in the environment of this one psql: not in its arguments, not in a log.
    superuser=NOSUPERUSER
    [ "${PG_SUPERUSER:-}" != 1 ] || superuser=SUPERUSER
    PASSWORD=$PASSWORD psql -X -q -v ON_ERROR_STOP=1 -h "$init_socket" -U postgres -d postgres \
        -v user="$user" -v database="$database" >/dev/null <<SQL || fail "the role could not be made"
\getenv password PASSWORD
SET password_encryption = 'scram-sha-256';
CREATE ROLE :"user" LOGIN $superuser PASSWORD :'password';
CREATE DATABASE :"database" OWNER :"user";
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
SQL
    unset PASSWORD

    for script in /docker-entrypoint-initdb.d/*; do
        [ -e "$script" ] || continue
        case $script in
            *.sql) ;;
            *) fail "$script: only .sql files can be run here" ;;
        esac
        say "running $script"
        psql -X -q -v ON_ERROR_STOP=1 --single-transaction -h "$init_socket" -U postgres -d "$database" \
            -c "SET ROLE \"$user\"" -f "$script" >/dev/null || fail "$script failed"
    done

    PGDATA=$init pg_ctl stop -m fast -s -w || fail "the server did not stop"
    trap - TERM INT
    rm -rf "$init_socket"

    # Everything was written without waiting for the disk; now wait once.
    initdb -D "$init" --sync-only >/dev/null || fail "the files could not be written to disk"
    find "$init" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv -t "$PGDATA" {} +
    sync "$PGDATA"
    mv "$init/PG_VERSION" "$PGDATA/"
    rmdir "$init"
    sync "$PGDATA"
    say "the cluster is complete"
}

fail() {
    stop_init_server immediate
    rm -rf "$init"
    die "$*; nothing was kept"
}

# Gives the role the password of this start. The server in single-user mode is met by nobody, does the recovery after a
# crash like any other, and is over when the role has its password: until then no client gets in with the old one.
set_password() {
    read_password
    quoted=$(printf %s "$PASSWORD" | sed "s/'/''/g")
    unset PASSWORD
    # printf is the shell's own: the password is in nobody's arguments. A failing statement is not logged.
    printf "ALTER ROLE \"%s\" PASSWORD '%s'\n" "$user" "$quoted" \
        | postgres --single -D "$PGDATA" -c exit_on_error=on -c password_encryption=scram-sha-256 \
            -c log_min_messages=fatal -c log_min_error_statement=panic -c log_statement=none \
            -c log_checkpoints=off postgres >/dev/null \
        || die "the password of $user could not be set"
    unset quoted
}

made=
if [ ! -e "$PGDATA/PG_VERSION" ]; then
    # A cut-off between the moves leaves files of the new cluster beside .init; they are ours and worthless.
    if [ -e "$init/PG_VERSION" ]; then
        say "the last first start was cut off; beginning again"
        # .init goes last (in initialise): it is the sign by which the rest is known to be ours.
        find "$PGDATA" -mindepth 1 -maxdepth 1 ! -name .init ! -name lost+found -exec rm -rf {} +
    elif [ -n "$(foreign_files)" ]; then
        die "$PGDATA holds files but no PG_VERSION; it will not be overwritten"
    fi
    initialise
    made=1
fi

have=$(cat "$PGDATA/PG_VERSION")
[ "$have" = "$PG_MAJOR" ] || die "$PGDATA was written by PostgreSQL $have, this is $PG_MAJOR; dump it there and restore it here"

if [ -z "$made" ] && [ -n "${POSTGRES_PASSWORD_FILE:-}${POSTGRES_PASSWORD:-}" ]; then
    set_password
fi
unset POSTGRES_PASSWORD

# --- every start ----------------------------------------------------------------------------------------------------

tls=hostssl
if [ -n "${PG_TLS_CERT_FILE:-}" ] && [ -n "${PG_TLS_KEY_FILE:-}" ]; then
    # The server refuses a key that others may read, whatever rights the mounted file has.
    install -m 0600 "$PG_TLS_KEY_FILE" "$run/tls.key" || die "PG_TLS_KEY_FILE=$PG_TLS_KEY_FILE cannot be read"
    install -m 0600 "$PG_TLS_CERT_FILE" "$run/tls.crt" || die "PG_TLS_CERT_FILE=$PG_TLS_CERT_FILE cannot be read"
    set -- -c ssl=on -c ssl_cert_file="$run/tls.crt" -c ssl_key_file="$run/tls.key" -c ssl_min_protocol_version=TLSv1.3 "$@"
elif [ "${PG_ALLOW_PLAINTEXT:-}" = 1 ]; then
    say "no certificate: passwords and data cross the network in clear"
    tls=host
else
    die "PG_TLS_CERT_FILE and PG_TLS_KEY_FILE are not set; without TLS start only with PG_ALLOW_PLAINTEXT=1"
fi

# Who may come in. Inside the container the operating system vouches for postgres; from outside there is one role, for
# one database, from the container's own networks.
cat >"$run/pg_hba.conf" <<HBA
local   all             all                 peer map=self
host    all             postgres  all       reject
$tls "$database" "$user" samenet scram-sha-256
host    all             all       all       reject
HBA
printf 'self postgres all\n' >"$run/pg_ident.conf"

# jit: the library for it (LLVM, larger than all the rest) is not in the image.
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories="$run" \
    -c hba_file="$run/pg_hba.conf" -c ident_file="$run/pg_ident.conf" \
    -c password_encryption=scram-sha-256 -c jit=off -c logging_collector=off "$@"
