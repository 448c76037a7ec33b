# The reference deployment on Amazon ECS: CloudFormation templates and their page, and a whole deployment of its gateway
# form in network namespaces.
if full_binary; then
  check "cfn-lint of deploy/aws" "$CACHE/venv/bin/cfn-lint" deploy/aws/*.yaml
  check "checkov of deploy/aws" "$CACHE/venv-deploy/bin/checkov" -d deploy/aws --framework cloudformation --compact --quiet
  check "the roles of deploy/aws, created by moto" $PYTHON tests/python/deploy_roles.py
  check "the stacks of deploy/aws, created, inspected and deleted by moto" $PYTHON tests/python/deploy_stacks.py
  check "docs/deploy-aws.md, followed against moto" $PYTHON tests/python/deploy_page.py
  timeout 900 $PYTHON tests/python/deploy_namespaces.py
  case $? in
    0) PASSED=$((PASSED + 1)); echo "check the gateway form in network namespaces ... ok" ;;
    77) SKIPPED=$((SKIPPED + 1)); echo "check the gateway form in network namespaces ... skipped" ;;
    *) FAILED=$((FAILED + 1)); FAILURES+=("the gateway form in network namespaces") ;;
  esac
else
  FAILED=$((FAILED + 1)); FAILURES+=("build of the binary for ecs")
fi
