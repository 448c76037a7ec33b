# The CloudFormation templates: cfn-lint, and roles created and deleted by moto.
check "cfn-lint of deploy/aws" "$CACHE/venv/bin/cfn-lint" deploy/aws/*.yaml
check "the roles of deploy/aws, created by moto" env AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test "$CACHE/venv/bin/python" tests/python/deploy_roles.py
