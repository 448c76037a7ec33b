#!/usr/bin/env bash
# tests/deploy_package.sh BINARY: builds the Debian package with that binary, installs it, starts a role as its unit says,
# and removes it: nothing stays but data. Needs root, dpkg and cargo-deb.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=$(realpath "$1")
work=$(mktemp -d)
pid=
fail() { echo "deploy_package: $*" >&2; exit 1; }
if dpkg -s countersign >/dev/null 2>&1; then fail "countersign is installed on this machine; nothing was done"; fi
if [ -e /etc/countersign ] || [ -e /var/lib/countersign ]; then fail "there is a configuration or data of countersign on this machine; nothing was done"; fi
end() {
  if [ -n "$pid" ]; then kill "$pid" 2>/dev/null && wait "$pid" || true; fi
  rm -rf /etc/countersign /var/lib/countersign "$work"
  dpkg --purge countersign >/dev/null 2>&1 || true
}
trap end EXIT

COUNTERSIGN_DEB_OPTIONS=--fast deploy/deb/build --binary "$binary" "$work" >/dev/null 2>&1
package=$(ls "$work"/*.deb)
contents=$(dpkg-deb --contents "$package")
for wanted in usr/bin/countersign lib/systemd/system/countersign@.service usr/share/man/man1/countersign.1.gz \
  usr/share/man/man1/countersign-serve.1.gz usr/share/bash-completion/completions/countersign \
  usr/share/zsh/vendor-completions/_countersign usr/share/fish/vendor_completions.d/countersign.fish usr/share/doc/countersign/default.toml; do
  grep -qF "./$wanted" <<< "$contents" || fail "no $wanted in it"
done
dpkg-deb --field "$package" Depends | grep -q libc6 || fail "it does not say which C library it needs"
dpkg --install "$package" > "$work/log" 2>&1 || { cat "$work/log" >&2; fail "it does not install"; }
[ -d /etc/countersign ] || fail "no /etc/countersign"
zcat /usr/share/man/man1/countersign.1.gz | grep -q '^.TH countersign' || fail "the manual page is none"
bash -c '. /usr/share/bash-completion/completions/countersign && complete -p countersign' >/dev/null || fail "the completion does not load"
if command -v systemd-analyze >/dev/null; then
  said=$(systemd-analyze verify "countersign@identity.service" 2>&1 | grep -F countersign || true)
  [ -z "$said" ] || fail "systemd-analyze verify: $said"
  exposure=$(systemd-analyze security --offline=true --threshold=20 /lib/systemd/system/countersign@.service 2>&1) \
    || fail "systemd-analyze security: $(tail -1 <<< "$exposure")"
fi

# What the unit would do, by its own lines: the check, then the server, with a state directory and the variables' file.
unit=/lib/systemd/system/countersign@.service
line() { sed -n "s/^$1=//p" "$unit" | sed 's/%i/identity/g'; }
state=/var/lib/$(line StateDirectory)
install -d -m 0700 -o nobody "$state"
sed -e '/^\[gateway/,$d' -e "s#/var/lib/countersign/#$state/#; s/:840\\([0-9]\\)\"/:2864\\1\"/" /usr/share/doc/countersign/default.toml |
  sed '/^\[\[identity.gateways\]\]/,$d' > /etc/countersign/identity.toml
cat > /etc/countersign/identity.env <<'ENV'
COUNTERSIGN_INITIAL_ADMIN_ACCESS_KEY_ID=AKIAINITIALADMIN0001
COUNTERSIGN_INITIAL_ADMIN_SECRET_ACCESS_KEY=initial-admin-secret-0123456789abcdef
ENV
chmod 0600 /etc/countersign/identity.env
set -a; . /etc/countersign/identity.env; set +a
read -ra check <<< "$(line ExecStartPre)"
"${check[@]}" || fail "ExecStartPre refuses the default configuration"
read -ra start <<< "$(line ExecStart)"
(exec setpriv --reuid=nobody --regid=nogroup --clear-groups --no-new-privs "${start[@]}") > "$work/log" 2>&1 &
pid=$!
for _ in $(seq 300); do
  if countersign health --url http://localhost:28649/readyz >/dev/null 2>&1; then break; fi
  kill -0 "$pid" 2>/dev/null || { cat "$work/log" >&2; fail "it ends"; }
  sleep 0.1
done
countersign health --url http://localhost:28649/readyz || { cat "$work/log" >&2; fail "it does not become ready"; }
kill -TERM "$pid"; wait "$pid" || fail "it ends with $?"
pid=

dpkg --remove countersign > "$work/log" 2>&1 || { cat "$work/log" >&2; fail "it does not go"; }
[ ! -e /usr/bin/countersign ] && [ ! -e "$unit" ] || fail "it leaves files behind"
[ -s "$state/identity.sqlite" ] || fail "it takes the data with it"
rm -rf /etc/countersign/*
dpkg --purge countersign > "$work/log" 2>&1
[ ! -e /etc/countersign ] || fail "a purge leaves an empty /etc/countersign"
echo "deploy_package: ok"
