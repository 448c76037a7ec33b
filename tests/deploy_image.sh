#!/usr/bin/env bash
# tests/deploy_image.sh BINARY: builds the image with that binary, and starts a role of it without rights on a read-only
# root. Needs root (mounts, another user) and buildah.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=$1
work=$(mktemp -d)
pid=
end() {
  if [ -n "$pid" ]; then kill "$pid" 2>/dev/null && wait "$pid" || true; fi
  local place
  for place in tmp var/lib/countersign .; do umount "$work/image/$place" 2>/dev/null || true; done
  STORAGE_DRIVER=vfs buildah rm "countersign-test-$$" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap end EXIT
fail() { echo "deploy_image: $*" >&2; exit 1; }

deploy/image/build --binary "$binary"
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
configured=$(buildah inspect --type image "localhost/countersign:$version")
for expected in '"User": "65532:65532"' '"/usr/bin/countersign"' '"Healthcheck"' '"SIGTERM"' '"/var/lib/countersign": {}' '"/tmp": {}'; do
  grep -qF "$expected" <<< "$configured" || fail "the image's configuration has no $expected"
done
buildah from --name "countersign-test-$$" "localhost/countersign:$version" >/dev/null
mounted=$(buildah mount "countersign-test-$$")
mkdir "$work/image"
mount --bind "$mounted" "$work/image"
[ -z "$(find "$work/image" -name '*sh' -type f -perm -1)" ] || fail "there is a shell in it"
[ -z "$(find "$work/image" -perm /6000)" ] || fail "something in it has setuid"
# An empty volume has the owner and mode that the image has at its path.
for place in var/lib/countersign tmp; do
  owned=$(stat -c mode=%a,uid=%u,gid=%g "$work/image/$place")
  case $place:$owned in
    var/lib/countersign:mode=700,uid=65532,gid=65532 | tmp:mode=1777,uid=0,gid=0) ;;
    *) fail "/$place has $owned" ;;
  esac
  mount -t tmpfs -o "$owned" none "$work/image/$place"
done
mount -o remount,bind,ro "$work/image"

read -r -d '' configuration <<'TOML' || true
[keys]
identity = "/var/lib/countersign/identity.key"
[operations]
listen = "localhost:28519"
[identity]
account = "000000000000"
listen_api = "localhost:28511"
listen_front_channel = "localhost:28518"
api_hosts = ["localhost:28511"]
front_channel_url = "https://account.example.com"
checkpoint_file = "/var/lib/countersign/audit-checkpoints"
[identity.database]
url = "sqlite:/var/lib/countersign/identity.sqlite"
TOML
inside() { env -i CONFIGURATION="$configuration" /usr/sbin/chroot --userspec=65532:65532 --groups= "$work/image" /usr/bin/countersign "$@"; }
inside --version
inside health --url http://localhost:28519/readyz 2>/dev/null && fail "health of nothing is good"
# Without a shell in between, which would get the signal in its place.
(exec env -i CONFIGURATION="$configuration" /usr/sbin/chroot --userspec=65532:65532 --groups= "$work/image" \
  /usr/bin/countersign --log-format json serve identity --config env:CONFIGURATION) &
pid=$!
for _ in $(seq 100); do inside health --url http://localhost:28519/readyz >/dev/null 2>&1 && break; sleep 0.1; done
inside health --url http://localhost:28519/readyz || fail "it does not become ready"
[ "$(stat -c %u /proc/$pid)" = 65532 ] || fail "it runs as $(stat -c %u /proc/$pid)"
grep -q '^CapEff:[[:space:]]*0000000000000000' "/proc/$pid/status" || fail "it has capabilities"
kill -TERM "$pid"
wait "$pid" || fail "it ends with $?"
pid=
inside serve identity --config env:NOTHING && fail "a variable that is not there is taken"
echo "deploy_image: ok"
