"""Every identity operation of botocore's two models against a running server: samples succeed and parse, each rule
of the model that a sample touches is broken once, and every error is one that the model has.

Client-side checks are off: what boto3 would refuse, another client sends.
"""
import copy
import datetime
import sys

import boto3
import botocore.loaders
from botocore.config import Config
from botocore.exceptions import ClientError

ACCOUNT = "000000000000"
BASE = f"arn:aws:bedrock-agentcore:us-east-1:{ACCOUNT}"
URL = "http://localhost:9/callback"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
URI = "urn:ietf:params:oauth:request_uri:Mzc3YjQyMzAtZDM3MS00NGIyLTgyYzUtNmU1MmMzNDFlNDYy"
METADATA = {
    "issuer": "https://as.example.com", "authorizationEndpoint": "https://as.example.com/authorize",
    "tokenEndpoint": "https://as.example.com/token", "responseTypes": ["code"],
}
LATTICE = {"selfManagedLatticeResource": {"resourceConfigurationIdentifier": "rcfg-0123456789abcdef0"}}
VPC = {"managedVpcResource": {
    "vpcIdentifier": "vpc-01234567", "subnetIds": ["subnet-01234567"], "endpointIpAddressType": "IPV4",
    "securityGroupIds": ["sg-01234567"], "tags": {"k": "v"}, "routingDomain": "as.example.com",
}}
FULL = {
    "oauthDiscovery": {"authorizationServerMetadata": METADATA}, "clientId": "cid",
    "clientAuthenticationMethod": "PRIVATE_KEY_JWT",
    "privateKeyJwtConfig": {
        "privateKeySource": {"kmsKeySource": {"kmsKeyArn": KEY}}, "signingAlgorithm": "ES256",
        "additionalHeaderClaims": {"kid": "k"}, "additionalPayloadClaims": {"aud": "https://as.example.com"},
    },
    "onBehalfOfTokenExchangeConfig": {
        "grantType": "TOKEN_EXCHANGE",
        "tokenExchangeGrantTypeConfig": {"actorTokenContent": "M2M", "actorTokenScopes": ["s"]},
        "onBehalfOfAuthenticationConfig": {"clientAuthenticationMethod": "NO_CLIENT"},
    },
    "privateEndpoint": VPC,
    "privateEndpointOverrides": [{"domain": "as.example.com", "privateEndpoint": LATTICE}],
    "certificateConfigurations": [{"s3": {"uri": "s3://bucket/key", "bucketOwnerAccountId": ACCOUNT}}],
}
SECRET = {"clientId": "cid", "clientSecret": "csec", "clientSecretSource": "MANAGED"}
TENANT = {"issuer": "https://x.example.com", "authorizationEndpoint": "https://x.example.com/oauth2/authorize",
          "tokenEndpoint": "https://x.example.com/oauth2/token"}


def provider(name, vendor, member, config):
    return {"name": name, "credentialProviderVendor": vendor, "oauth2ProviderConfigInput": {member: config}}


def vendors():
    own = {"Google", "Github", "Slack", "Salesforce", "Atlassian", "Linkedin", "Microsoft"}
    for vendor in model("bedrock-agentcore-control")["shapes"]["CredentialProviderVendorType"]["enum"]:
        short = vendor.removesuffix("Oauth2")
        if vendor == "CustomOauth2":
            continue
        if short in own:
            yield vendor, short.lower() + "Oauth2ProviderConfig", SECRET
        elif short in {"Okta", "Auth0", "Cognito", "PingOne", "OneLogin", "CyberArk", "FusionAuth"}:
            yield vendor, "includedOauth2ProviderConfig", {**SECRET, **TENANT}
        else:
            yield vendor, "includedOauth2ProviderConfig", SECRET


def model(service):
    return botocore.loaders.Loader().load_service_model(service, "service-2")


def steps(state):
    """(operation, input, expected error or None) in an order in which each finds what it needs."""
    workload = {"name": "contract-agent", "allowedResourceOauth2ReturnUrls": [URL]}
    yield "CreateWorkloadIdentity", {**workload, "tags": {"env": "dev"}}, None
    yield "GetWorkloadIdentity", {"name": "contract-agent"}, None
    yield "UpdateWorkloadIdentity", workload, None
    yield "ListWorkloadIdentities", {"maxResults": 1}, None
    yield "CreateWorkloadIdentity", workload, "ValidationException"
    custom = {**SECRET, "oauthDiscovery": {"authorizationServerMetadata": {
        **METADATA, "tokenEndpointAuthMethods": ["client_secret_post"]}}}
    custom = provider("contract-custom", "CustomOauth2", "customOauth2ProviderConfig", custom)
    yield "CreateOauth2CredentialProvider", {**custom, "tags": {"env": "dev"}}, None
    yield "CreateOauth2CredentialProvider", custom, "ValidationException"
    yield "CreateOauth2CredentialProvider", provider("contract-full", "CustomOauth2", "customOauth2ProviderConfig", FULL), None
    for vendor, member, config in vendors():
        name = "contract-" + vendor
        yield "CreateOauth2CredentialProvider", provider(name, vendor, member, config), None
        yield "GetOauth2CredentialProvider", {"name": name}, None
        yield "UpdateOauth2CredentialProvider", provider(name, vendor, member, config), None
        yield "DeleteOauth2CredentialProvider", {"name": name}, None
    yield "GetOauth2CredentialProvider", {"name": "contract-full"}, None
    yield "UpdateOauth2CredentialProvider", custom, None
    yield "ListOauth2CredentialProviders", {"maxResults": 1}, None
    key = {"name": "contract-key", "apiKey": "sk-123", "apiKeySecretSource": "MANAGED"}
    yield "CreateApiKeyCredentialProvider", {**key, "tags": {"a": "b"}}, None
    yield "CreateApiKeyCredentialProvider", key, "ValidationException"
    yield "GetApiKeyCredentialProvider", {"name": "contract-key"}, None
    yield "UpdateApiKeyCredentialProvider", {**key, "apiKey": "sk-456"}, None
    yield "ListApiKeyCredentialProviders", {"maxResults": 100}, None
    external = {"name": "contract-ext", "apiKeySecretSource": "EXTERNAL",
                "apiKeySecretConfig": {"secretId": "countersign/database", "jsonKey": "password"}}
    yield "CreateApiKeyCredentialProvider", external, "AccessDeniedException"
    yield "GetTokenVault", {"tokenVaultId": "default"}, None
    yield "GetTokenVault", {"tokenVaultId": "other"}, "ResourceNotFoundException"
    yield "SetTokenVaultCMK", {"tokenVaultId": "default", "kmsConfiguration": {"keyType": "ServiceManagedKey"}}, None
    yield "SetTokenVaultCMK", {"tokenVaultId": "default", "kmsConfiguration": {
        "keyType": "CustomerManagedKey", "kmsKeyArn": KEY}}, "ValidationException"
    yield "ResetTokenVaultKeyMaterial", {"tokenVaultId": "default"}, "ValidationException"
    for resource in ("workload-identity-directory/default", "token-vault/default",
                     "workload-identity-directory/default/workload-identity/contract-agent",
                     "token-vault/default/oauth2credentialprovider/contract-custom",
                     "token-vault/default/apikeycredentialprovider/contract-key"):
        arn = f"{BASE}:{resource}"
        yield "TagResource", {"resourceArn": arn, "tags": {"k": "v", "k 2": ""}}, None
        yield "ListTagsForResource", {"resourceArn": arn}, None
        assert state["last"]["tags"].items() >= {"k": "v", "k 2": ""}.items(), state["last"]
        yield "UntagResource", {"resourceArn": arn, "tagKeys": ["k", "k 2", "absent"]}, None
        yield "ListTagsForResource", {"resourceArn": arn}, None
        assert "k" not in state["last"]["tags"], state["last"]
    yield "TagResource", {"resourceArn": f"{BASE}:token-vault/default/oauth2credentialprovider/nobody", "tags": {}}, "ResourceNotFoundException"
    yield "GetWorkloadAccessTokenForJWT", {"workloadName": "contract-agent", "userToken": "aaa.bbb.ccc"}, "UnauthorizedException"
    yield "GetWorkloadAccessTokenForUserId", {"workloadName": "contract-agent", "userId": "user-1"}, None
    wat = state["last"]["workloadAccessToken"]
    yield "GetWorkloadAccessToken", {"workloadName": "contract-agent"}, None
    yield "GetResourceApiKey", {"workloadIdentityToken": wat, "resourceCredentialProviderName": "contract-key"}, None
    assert state["last"]["apiKey"] == "sk-456"
    request = {"workloadIdentityToken": wat, "resourceCredentialProviderName": "contract-custom", "scopes": ["openid"],
               "oauth2Flow": "USER_FEDERATION", "resourceOauth2ReturnUrl": URL, "forceAuthentication": True,
               "customState": "st", "customParameters": {"access_type": "offline"},
               "resources": ["https://api.example.com"], "audiences": ["aud"]}
    yield "GetResourceOauth2Token", request, None
    uri = state["last"]["sessionUri"]
    yield "GetResourceOauth2Token", {**request, "forceAuthentication": False, "sessionUri": uri}, None
    yield "CompleteResourceTokenAuth", {"userIdentifier": {"userId": "user-1"}, "sessionUri": URI}, "AccessDeniedException"
    yield "CompleteResourceTokenAuth", {"userIdentifier": {"userToken": "aaa.bbb.ccc"}, "sessionUri": URI}, "AccessDeniedException"
    yield "DeleteApiKeyCredentialProvider", {"name": "contract-key"}, None
    yield "DeleteApiKeyCredentialProvider", {"name": "contract-key"}, "ResourceNotFoundException"
    for name in ("contract-custom", "contract-full"):
        yield "DeleteOauth2CredentialProvider", {"name": name}, None
    yield "DeleteWorkloadIdentity", {"name": "contract-agent"}, None
    yield "DeleteWorkloadIdentity", {"name": "contract-agent"}, "ResourceNotFoundException"


NOT_OFFERED = {
    "CreatePaymentCredentialProvider", "GetPaymentCredentialProvider", "UpdatePaymentCredentialProvider",
    "DeletePaymentCredentialProvider", "ListPaymentCredentialProviders", "GetResourcePaymentToken",
    "CreateConsentPortal", "GetConsentPortal", "UpdateConsentPortal", "DeleteConsentPortal", "ListConsentPortals",
    "PutResourcePolicy", "GetResourcePolicy", "DeleteResourcePolicy",
}


class Service:
    def __init__(self, name):
        self.model = model(name)
        config = Config(parameter_validation=False, retries={"total_max_attempts": 8, "mode": "standard"})
        self.client = boto3.client(name, config=config)

    def shape(self, reference):
        return self.model["shapes"][reference["shape"]]

    def operations(self):
        ours = ("/identities/", "/tags/", "/resourcepolicy/")
        return {name for name, op in self.model["operations"].items() if op["http"]["requestUri"].startswith(ours)}

    def call(self, operation, given):
        """The answer, or the error, which has to be one of the model."""
        try:
            answer = self.client._make_api_call(operation, given)
        except ClientError as error:
            response = error.response
            status = response["ResponseMetadata"]["HTTPStatusCode"]
            code = response["Error"]["Code"]
            modelled = {item["shape"] for item in self.model["operations"][operation]["errors"]}
            assert code in modelled, f"{operation}: {code} ({status}) is not one of {sorted(modelled)}"
            assert response["ResponseMetadata"]["RequestId"], operation
            http = self.shape({"shape": code})["error"]["httpStatusCode"]
            assert status == http, f"{operation}: {code} with {status} instead of {http}"
            return None, response
        wanted = self.model["operations"][operation]["http"].get("responseCode", 200)
        metadata = answer.pop("ResponseMetadata")
        assert metadata["HTTPStatusCode"] == wanted, (operation, metadata)
        assert metadata["RequestId"], operation
        output = self.model["operations"][operation].get("output")
        if output:
            self.check_output(operation, self.shape(output), answer)
        return answer, None

    def check_output(self, operation, shape, value):
        kind = shape["type"]
        if kind == "structure":
            for member in shape.get("required", []):
                assert member in value, f"{operation}: the answer lacks {member}: {value}"
            for member, inner in value.items():
                # Ours, unknown to the model: boto3 leaves them out.
                self.check_output(operation, self.shape(shape["members"][member]), inner)
        elif kind == "list":
            for inner in value:
                self.check_output(operation, self.shape(shape["member"]), inner)
        elif kind == "timestamp":
            assert isinstance(value, datetime.datetime), (operation, value)
        elif kind == "string":
            assert isinstance(value, str), (operation, value)
            assert value in shape.get("enum", [value]), (operation, value)

    def probes(self, shape, value, name, put):
        """(what, changed input, the member that has to be named) for each rule that a value stands under."""
        kind = shape["type"]
        low, high = shape.get("min"), shape.get("max")
        if kind == "structure":
            for member, inner in value.items():
                place = f"{name}.{member}" if name else member

                def put_inner(new, member=member):
                    return put({**value, member: new})

                if member in shape.get("required", []):
                    yield "required", put({other: kept for other, kept in value.items() if other != member}), place
                yield from self.probes(self.shape(shape["members"][member]), inner, place, put_inner)
            if shape.get("union"):
                yield "empty union", put({}), name
        elif kind == "list":
            if value:
                if high is not None:
                    yield "max items", put([value[0]] * (high + 1)), name
                yield from self.probes(self.shape(shape["member"]), value[0], f"{name}[0]",
                                       lambda new: put([new] + value[1:]))
            if low:
                yield "min items", put([]), name
        elif kind == "map":
            if high is not None:
                yield "max members", put({f"k{n}": "v" for n in range(high + 1)}), name
            for key, inner in value.items():
                yield from self.probes(self.shape(shape["value"]), inner, f"{name}.{key}",
                                       lambda new, key=key: put({**value, key: new}))
        elif kind == "string":
            if "enum" in shape:
                yield "enum", put("SOMETHING_ELSE"), name
            if high is not None:
                yield "max", put("a" * (high + 1)), name
            if low:
                yield "min", put("a" * (low - 1)), name
            if "pattern" in shape:
                yield "pattern", put("\u0001" * max(low or 1, 3)), name
        elif kind in ("integer", "long"):
            if low is not None:
                yield "min", put(low - 1), name
            if high is not None:
                yield "max", put(high + 1), name


def main():
    services = [Service("bedrock-agentcore"), Service("bedrock-agentcore-control")]
    seen, state, refused, probed = set(), {}, 0, set()
    for operation, given, expected in steps(state):
        service = next(service for service in services if operation in service.model["operations"])
        seen.add(operation)
        answer, error = service.call(operation, given)
        code = error["Error"]["Code"] if error else None
        assert code == expected, f"{operation} {given}: {code} instead of {expected}: {error}"
        state["last"] = answer
        if "already exists" in (error or {}).get("Error", {}).get("Message", ""):
            continue
        shape = service.shape(service.model["operations"][operation]["input"])
        for what, broken, member in service.probes(shape, given, "", copy.deepcopy):
            # Of the 24 vendors one of each form is enough.
            if (operation, what, member) in probed:
                continue
            probed.add((operation, what, member))
            # A member in the path that is empty makes another path, and is refused as such.
            if "{" in service.model["operations"][operation]["http"]["requestUri"] and member == "resourceArn" and not broken.get("resourceArn"):
                continue
            _, error = service.call(operation, broken)
            assert error, f"{operation}: {what} of {member} was accepted"
            assert error["Error"]["Code"] == "ValidationException", (operation, what, member, error)
            assert error["reason"] == "FieldValidationFailed", (operation, what, member, error)
            named = [field["name"] for field in error.get("fieldList", [])]
            assert any(field == member for field in named), f"{operation}: {what}: {member} is not in {named}"
            refused += 1
    for operation in sorted(NOT_OFFERED):
        service = next(service for service in services if operation in service.model["operations"])
        seen.add(operation)
        given = {"resourceArn": f"{BASE}:token-vault/default"} if "ResourcePolicy" in operation else {}
        _, error = service.call(operation, given)
        assert error and error["Error"]["Code"] == "ValidationException", (operation, error)
        assert "not offered" in error["Error"]["Message"], (operation, error)
    missing = set().union(*(service.operations() for service in services)) - seen
    assert not missing, f"not exercised: {sorted(missing)}"
    print(f"{len(seen)} operations, {refused} broken rules")
    print("done")


main()
sys.stdout.flush()
