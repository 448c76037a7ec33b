# Programs other people wrote: boto3, the bedrock-agentcore SDK, npm oidc-provider.
cargo_tests -p e2e --test it clients::
