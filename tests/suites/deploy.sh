# What people install: the Helm chart, Compose, the image, the package, a release, and the step from one version to the
# next.
if full_binary; then
  check "the alert rules, by promtool" promtool check rules deploy/monitoring/alerts.yaml
  check "the Helm chart, rendered and checked" $PYTHON tests/python/deploy_chart.py
  check "data of the version before, and of one after" $PYTHON tests/python/deploy_upgrade.py
  PATH=$PATH:$CACHE/cargo-deb/bin
  check "a release, Compose, Containerfile, the configuration's schema" $PYTHON tests/python/deploy_release.py
  # Mounts, another user and packages need root.
  if [ "$(id -u)" -eq 0 ]; then
    check "the image, built by buildah and started without rights" timeout 300 bash tests/deploy_image.sh "$COUNTERSIGN"
    if command -v cargo-deb >/dev/null && command -v dpkg >/dev/null && ! dpkg -s countersign >/dev/null 2>&1 &&
      [ ! -e /etc/countersign ] && [ ! -e /var/lib/countersign ]; then
      check "the Debian package, installed, started and removed" timeout 600 bash tests/deploy_package.sh "$COUNTERSIGN"
    else
      SKIPPED=$((SKIPPED + 1)); echo "check the Debian package ... skipped: no cargo-deb, or countersign is installed here"
    fi
  else
    SKIPPED=$((SKIPPED + 2)); echo "check the image ... skipped: not root"; echo "check the Debian package ... skipped: not root"
  fi
else
  FAILED=$((FAILED + 1)); FAILURES+=("build of the binary for deploy")
fi
