# A private PostgreSQL for the tests: own data directory, loopback only, gone afterwards. Sourced by ./test.
#
#   url=$(postgres_start)    starts it and prints its URL
#   postgres_stop            stops it and removes its data
#
# Settings (optional): POSTGRES_DIR (data, socket and log), POSTGRES_PORT (otherwise the first free port
# from 15432 on, below those that Linux gives to outgoing connections), POSTGRES_FSYNC (off; on for measurements).

# $$ is the same in the $(…) that starts it and in the shell that stops it.
: "${POSTGRES_DIR:=${TMPDIR:-/tmp}/countersign-postgres-$$}"

postgres_bin() {
  local dir
  for dir in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V -r) /usr/local/pgsql/bin /usr/local/bin /usr/bin; do
    [ -x "$dir/postgres" ] && [ -x "$dir/initdb" ] && { echo "$dir"; return 0; }
  done
  echo "PostgreSQL's server binaries were not found (Debian: apt-get install postgresql)" >&2
  return 1
}

# The server refuses to run as root.
postgres_user() {
  if [ "$(id -u)" -ne 0 ]; then id -un
  elif id postgres >/dev/null 2>&1; then echo postgres
  else echo nobody; fi
}

as_postgres_user() {
  if [ "$(id -u)" -ne 0 ]; then "$@"; else runuser -u "$(postgres_user)" -- "$@"; fi
}

postgres_free_port() {
  local port
  for port in $(seq "${1:-15432}" 15531); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return 0; }
  done
  echo "no free port between 15432 and 15531 for PostgreSQL" >&2
  return 1
}

postgres_start() {
  local bin port=${POSTGRES_PORT:-} first=15432
  bin=$(postgres_bin) || return 1
  mkdir -p "$POSTGRES_DIR" && chmod 700 "$POSTGRES_DIR" || return 1
  [ "$(id -u)" -ne 0 ] || chown "$(postgres_user)" "$POSTGRES_DIR" || return 1
  # A port that was free may be somebody else's a moment later.
  while [ "$first" -lt 15440 ]; do
    port=${POSTGRES_PORT:-$(postgres_free_port "$first")} || return 1
    if postgres_start_on "$bin" "$port"; then
      echo "postgres://countersign@127.0.0.1:$port/postgres"
      return 0
    fi
    [ -z "${POSTGRES_PORT:-}" ] || break
    first=$((port + 1))
  done
  cat "$POSTGRES_DIR/initdb.log" "$POSTGRES_DIR/server.log" >&2 2>/dev/null
  return 1
}

postgres_start_on() { # postgres_start_on BIN PORT
  local bin=$1 port=$2
  # Subshell in /: the server's user may not enter the current directory.
  (
    cd / || exit 1
    if [ ! -s "$POSTGRES_DIR/data/PG_VERSION" ]; then
      as_postgres_user "$bin/initdb" -D "$POSTGRES_DIR/data" -U countersign --auth=trust \
        --encoding=UTF8 --locale=C.UTF-8 --no-sync >"$POSTGRES_DIR/initdb.log" 2>&1 || exit 1
    fi
    # Durability is off unless asked for: the data dies with the tests. The product itself asks for synchronous_commit=on.
    as_postgres_user "$bin/pg_ctl" -D "$POSTGRES_DIR/data" -l "$POSTGRES_DIR/server.log" -w -t 30 -o \
      "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$POSTGRES_DIR -c fsync=${POSTGRES_FSYNC:-off} -c full_page_writes=${POSTGRES_FSYNC:-off} -c max_connections=200" \
      start >/dev/null 2>&1 </dev/null
  )
}

postgres_stop() {
  [ -d "$POSTGRES_DIR" ] || return 0
  local bin
  bin=$(postgres_bin) || return 1
  (cd / && as_postgres_user "$bin/pg_ctl" -D "$POSTGRES_DIR/data" -m immediate -w stop >/dev/null 2>&1)
  rm -rf "$POSTGRES_DIR"
}
