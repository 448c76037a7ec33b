# Installs what the chosen suites need and says so. Sourced by ./test.

needs() { # needs SUITE-REGEX SUITES…: is one of the suites among those?
  local pattern=$1 suite; shift
  for suite in "$@"; do [[ $suite =~ ^($pattern)$ ]] && return 0; done
  return 1
}

install_for() {
  command -v cargo >/dev/null || { echo "./test: cargo is missing; install Rust $(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)" >&2; return 1; }
  command -v cc >/dev/null || { echo "./test: a C compiler is missing (Debian: gcc)" >&2; return 1; }
  local packages=()
  if needs 'store|evidence|api|gateway|attacks|refresh|failover|deploy|ecs' "$@" && ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then
    packages+=(postgresql)
  fi
  if needs 'browser' "$@"; then
    [ -x /usr/bin/chromium ] || packages+=(chromium fonts-dejavu-core)
    [ -x /usr/bin/chromedriver ] || packages+=(chromium-driver)
  fi
  if needs 'keys' "$@"; then
    [ -e /usr/lib/softhsm/libsofthsm2.so ] || packages+=(softhsm2)
  fi
  if needs 'clients|browser|refresh|failover|agent|deploy|ecs|model' "$@"; then
    command -v node >/dev/null || packages+=(nodejs)
    command -v npm >/dev/null || packages+=(npm)
  fi
  if needs 'gateway|flow' "$@"; then
    PATH=$PATH:/usr/sbin
    command -v nginx >/dev/null || packages+=(nginx-light)
    command -v h2load >/dev/null || packages+=(nghttp2-client)
    command -v curl >/dev/null || packages+=(curl)
    command -v ip >/dev/null || packages+=(iproute2)
  fi
  if needs 'deploy|ecs' "$@"; then
    command -v buildah >/dev/null || packages+=(buildah)
    command -v openssl >/dev/null || packages+=(openssl)
    PATH=$PATH:/usr/sbin
    command -v ip >/dev/null || packages+=(iproute2)
    command -v nft >/dev/null || packages+=(nftables)
    command -v haproxy >/dev/null || packages+=(haproxy)
    command -v promtool >/dev/null || packages+=(prometheus)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || packages+=(ca-certificates)
  fi
  if needs 'evidence' "$@" && [ ! -x /usr/sbin/rsyslogd ]; then packages+=(rsyslog); fi
  if needs 'clients|browser|api|gateway|flow|attacks|keys|deploy|ecs|agent|evidence|model' "$@"; then
    python3 -c 'import venv, ensurepip' 2>/dev/null || packages+=(python3 python3-venv)
  fi
  if [ ${#packages[@]} -gt 0 ]; then
    echo "installing Debian packages: ${packages[*]}"
    if [ "$(id -u)" -ne 0 ]; then
      echo "./test: run this first:  sudo apt-get install -y --no-install-recommends ${packages[*]}" >&2
      return 1
    fi
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null || return 1
  fi
  if needs 'clients|browser|api|gateway|flow|attacks|keys|deploy|ecs|agent|evidence|model' "$@"; then python_environment || return 1; fi
  if needs 'ecs' "$@"; then checkov_environment || return 1; fi
  if needs 'deploy' "$@"; then cargo_deb; fi
  if needs 'clients|browser|refresh|failover|agent|attacks|deploy|ecs' "$@"; then node_packages || return 1; fi
  if needs 'store|evidence|api|gateway|attacks|refresh' "$@"; then
    COUNTERSIGN_TEST_POSTGRES_URL=$(postgres_start) || { echo "./test: PostgreSQL did not start" >&2; return 1; }
    export COUNTERSIGN_TEST_POSTGRES_URL
    echo "PostgreSQL for the tests: started"
  fi
}

# A stamp of the requirements' text makes a second run free.
python_environment() {
  local want have; want=$(sha256sum < tests/python/requirements.txt)
  have=$(cat "$CACHE/venv/.requirements" 2>/dev/null || true)
  if [ "$want" != "$have" ]; then
    echo "installing a Python environment: $(tr '\n' ' ' < tests/python/requirements.txt)"
    rm -rf "$CACHE/venv"
    python3 -m venv "$CACHE/venv" && "$CACHE/venv/bin/pip" install -q --disable-pip-version-check -r tests/python/requirements.txt || return 1
    echo "$want" > "$CACHE/venv/.requirements"
  fi
  export COUNTERSIGN_TEST_PYTHON=$CACHE/venv/bin/python
  if [ ! -s "$CACHE/botocore/$(sha256sum < tests/python/requirements.txt | cut -c1-16)" ]; then
    mkdir -p "$CACHE/botocore"
    "$COUNTERSIGN_TEST_PYTHON" tests/lib/export_models.py "$CACHE/botocore" || return 1
    date > "$CACHE/botocore/$(sha256sum < tests/python/requirements.txt | cut -c1-16)"
  fi
  export COUNTERSIGN_BOTOCORE_DATA=$CACHE/botocore
}

# Apart from the other packages: it wants an old boto3.
checkov_environment() {
  [ "$(cat "$CACHE/venv-deploy/.version" 2>/dev/null)" != "$CHECKOV" ] || return 0
  echo "installing checkov $CHECKOV"
  rm -rf "$CACHE/venv-deploy"
  python3 -m venv "$CACHE/venv-deploy" && "$CACHE/venv-deploy/bin/pip" install -q --disable-pip-version-check "checkov==$CHECKOV" || return 1
  echo "$CHECKOV" > "$CACHE/venv-deploy/.version"
}
CHECKOV=3.3.30

# A machine that cannot have it skips what needs it, and says so.
cargo_deb() {
  [ -x "$CACHE/cargo-deb/bin/cargo-deb" ] && return 0
  echo "installing cargo-deb 3.8.0"
  CARGO_TARGET_DIR=$CACHE/cargo-deb/target cargo install --quiet --locked --root "$CACHE/cargo-deb" --version 3.8.0 cargo-deb || true
  rm -rf "$CACHE/cargo-deb/target"
}

node_packages() {
  local want have; want=$(sha256sum < tests/node/package.json)
  have=$(cat "$CACHE/node/.packages" 2>/dev/null || true)
  if [ "$want" != "$have" ]; then
    echo "installing npm packages: $(node -p 'Object.entries(require("./tests/node/package.json").dependencies).map(([n,v])=>n+"@"+v).join(" ")')"
    rm -rf "$CACHE/node"; mkdir -p "$CACHE/node"
    cp tests/node/package.json "$CACHE/node/"
    (cd "$CACHE/node" && npm install --ignore-scripts --no-audit --no-fund --silent) || return 1
    echo "$want" > "$CACHE/node/.packages"
  fi
  export COUNTERSIGN_TEST_NODE_MODULES=$CACHE/node/node_modules
}
