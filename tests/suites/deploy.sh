# What people deploy: CloudFormation templates, the Helm chart, the image. With the binary, since configurations are its.
if cargo build --locked -p countersign-cli; then
  COUNTERSIGN=$CARGO_TARGET_DIR/debug/countersign
  export COUNTERSIGN AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
  check "cfn-lint of deploy/aws" "$CACHE/venv/bin/cfn-lint" deploy/aws/*.yaml
  check "checkov of deploy/aws" "$CACHE/venv-deploy/bin/checkov" -d deploy/aws --framework cloudformation --compact --quiet
  check "the roles of deploy/aws, created by moto" "$CACHE/venv/bin/python" tests/python/deploy_roles.py
  check "the stacks of deploy/aws, created, inspected and deleted by moto" "$CACHE/venv/bin/python" -W ignore tests/python/deploy_stacks.py
  check "the Helm chart, rendered and checked" "$CACHE/venv/bin/python" tests/python/deploy_chart.py
  # Mounts and another user need root.
  if [ "$(id -u)" -eq 0 ]; then
    check "the image, built by buildah and started without rights" timeout 300 bash tests/deploy_image.sh "$COUNTERSIGN"
  else
    SKIPPED=$((SKIPPED + 1)); echo "check the image ... skipped: not root"
  fi
  unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
else
  FAILED=$((FAILED + 1)); FAILURES+=("build of the binary for deploy")
fi
