// The AWS SDK for JavaScript v3 against the server that the environment names.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const require = createRequire(process.env.COUNTERSIGN_TEST_NODE_MODULES + "/");
const data = require("@aws-sdk/client-bedrock-agentcore");
const control = require("@aws-sdk/client-bedrock-agentcore-control");

const RETURN_URL = "http://localhost:9/callback";
const dataClient = new data.BedrockAgentCoreClient({});
const controlClient = new control.BedrockAgentCoreControlClient({});
const ask = (name, input) => dataClient.send(new data[name + "Command"](input));
const make = (name, input) => controlClient.send(new control[name + "Command"](input));

async function refused(code, promise) {
  const error = await promise.then(() => assert.fail(`${code} expected`), (error) => error);
  assert.equal(error.name, code, error.message);
  assert.ok(error.$metadata.requestId, "every answer has a request id");
  return error;
}

const workload = { name: "js-agent", allowedResourceOauth2ReturnUrls: [RETURN_URL] };
const made = await make("CreateWorkloadIdentity", { ...workload, tags: { env: "dev" } });
assert.match(made.workloadIdentityArn, /workload-identity\/js-agent$/);
const got = await make("GetWorkloadIdentity", { name: "js-agent" });
assert.ok(got.createdTime instanceof Date && got.lastUpdatedTime instanceof Date, "times are numbers on the wire");
await make("UpdateWorkloadIdentity", workload);
const duplicate = await refused("ValidationException", make("CreateWorkloadIdentity", workload));
assert.match(duplicate.message, /already exists/);
const broken = await refused("ValidationException", make("CreateWorkloadIdentity", { name: "has a space" }));
assert.equal(broken.reason, "FieldValidationFailed");
assert.equal(broken.fieldList[0].name, "name");

const names = [];
for await (const page of control.paginateListWorkloadIdentities({ client: controlClient, pageSize: 1 }, {})) {
  names.push(...page.workloadIdentities.map((item) => item.name));
}
assert.ok(names.includes("js-agent"));

const provider = {
  name: "js-github", credentialProviderVendor: "GithubOauth2",
  oauth2ProviderConfigInput: { githubOauth2ProviderConfig: { clientId: "cid", clientSecret: "csec" } },
};
const created = await make("CreateOauth2CredentialProvider", provider);
assert.ok(created.clientSecretArn.secretArn && created.callbackUrl && created.status === "READY");
const described = await make("GetOauth2CredentialProvider", { name: "js-github" });
assert.equal(described.oauth2ProviderConfigOutput.githubOauth2ProviderConfig.clientId, "cid");
assert.ok(!JSON.stringify(described).includes("csec"), "never a secret");
await make("UpdateOauth2CredentialProvider", provider);
assert.ok((await make("ListOauth2CredentialProviders", {})).credentialProviders.some((item) => item.name === "js-github"));
await make("DeleteOauth2CredentialProvider", { name: "js-github" });
await refused("ResourceNotFoundException", make("GetOauth2CredentialProvider", { name: "js-github" }));

await make("CreateApiKeyCredentialProvider", { name: "js-key", apiKey: "sk-js" });
await make("UpdateApiKeyCredentialProvider", { name: "js-key", apiKey: "sk-js-2" });
const shown = await make("GetApiKeyCredentialProvider", { name: "js-key" });
assert.ok(shown.apiKeySecretArn.secretArn && !JSON.stringify(shown).includes("sk-js"), "never a key");
const keys = await make("ListApiKeyCredentialProviders", { maxResults: 100 });
assert.ok(keys.credentialProviders[0].createdTime instanceof Date);
const { workloadAccessToken } = await ask("GetWorkloadAccessToken", { workloadName: "js-agent" });
const released = await ask("GetResourceApiKey", { workloadIdentityToken: workloadAccessToken, resourceCredentialProviderName: "js-key" });
assert.equal(released.apiKey, "sk-js-2");
await make("DeleteApiKeyCredentialProvider", { name: "js-key" });

const vault = await make("GetTokenVault", {});
assert.ok(vault.lastModifiedDate instanceof Date);
assert.equal(vault.kmsConfiguration.keyType, "ServiceManagedKey");
const kmsConfiguration = { keyType: "ServiceManagedKey" };
assert.equal((await make("SetTokenVaultCMK", { kmsConfiguration })).tokenVaultId, "default");
const resourceArn = made.workloadIdentityArn;
await make("TagResource", { resourceArn, tags: { team: "a b" } });
await make("UntagResource", { resourceArn, tagKeys: ["env"] });
assert.deepEqual((await make("ListTagsForResource", { resourceArn })).tags, { team: "a b" });
await refused("ValidationException", make("ListConsentPortals", {}));
await refused("ValidationException", make("ListPaymentCredentialProviders", {}));

await refused("UnauthorizedException", ask("GetWorkloadAccessTokenForJWT", {
  workloadName: "js-agent", userToken: "aaa.bbb.ccc",
}));
const user = await ask("GetWorkloadAccessTokenForUserId", { workloadName: "js-agent", userId: "user-1" });
const pending = await ask("GetResourceOauth2Token", {
  workloadIdentityToken: user.workloadAccessToken, resourceCredentialProviderName: process.env.COUNTERSIGN_PROVIDER,
  scopes: ["issues:read"], oauth2Flow: "USER_FEDERATION", resourceOauth2ReturnUrl: RETURN_URL,
});
assert.equal(pending.sessionStatus, "IN_PROGRESS");
assert.equal(pending.accessToken, undefined);
await refused("AccessDeniedException", ask("CompleteResourceTokenAuth", {
  userIdentifier: { userId: "user-1" }, sessionUri: pending.sessionUri,
}));
await make("DeleteWorkloadIdentity", { name: "js-agent" });
console.log("done");
