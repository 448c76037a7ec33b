"""Writes botocore's models of the two AgentCore services as plain JSON, for the contract test of crate api.

Usage: export_models.py DIRECTORY
"""
import json
import pathlib
import sys

import botocore.loaders

target = pathlib.Path(sys.argv[1])
for service in ("bedrock-agentcore", "bedrock-agentcore-control"):
    model = botocore.loaders.Loader().load_service_model(service, "service-2")
    (target / f"{service}.json").write_text(json.dumps(model))
