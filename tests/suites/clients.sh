# Programs other people wrote: boto3, the AWS CLI and SDKs, the bedrock-agentcore SDK and toolkit, npm oidc-provider.
# The AWS SDK for Rust is a workspace of its own; its dependencies are built once.
if (cd tests/aws-sdk && cargo build --locked); then
  COUNTERSIGN_TEST_AWS_SDK=${CARGO_TARGET_DIR:-$PWD/tests/aws-sdk/target}/debug/aws-sdk
  export COUNTERSIGN_TEST_AWS_SDK
else
  FAILED=$((FAILED + 1)); FAILURES+=("tests/aws-sdk does not build")
fi
cargo_tests -p e2e --test it clients::
