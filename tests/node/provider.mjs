// npm `oidc-provider` with its own development login and consent pages: any login name and password are accepted.
// Usage: node provider.mjs NODE_MODULES PORT CLIENTS_JSON [ACCESS_TOKEN_SECONDS]
//
// Variable ISSUER: another issuer, where it stands behind a proxy that ends TLS.
//
// With ACCESS_TOKEN_SECONDS access tokens live so long, refresh tokens are good once, and a logout is told to clients.
//
// It has no grant for people's own tokens; the two here check the token with `jose` against the provider's own keys,
// and leave clients and their proofs to it.
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, port, clients, seconds] = process.argv.slice(2);
const require = createRequire(path.join(modules, 'x.js'));
const { default: Provider, errors } = await import(pathToFileURL(require.resolve('oidc-provider')).href);
const { createRemoteJWKSet, jwtVerify } = await import(pathToFileURL(require.resolve('jose')).href);

const issuer = process.env.ISSUER ?? `http://127.0.0.1:${port}`;
const provider = new Provider(issuer, {
  clients: JSON.parse(clients),
  claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email'] },
  cookies: { keys: ['only for tests'] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
    pushedAuthorizationRequests: { enabled: true },
    revocation: { enabled: true },
    backchannelLogout: { enabled: Boolean(seconds) },
  },
  // Its own refuses addresses of this machine, where every client of a test is.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  ...(seconds && {
    ttl: { AccessToken: Number(seconds), IdToken: 600, RefreshToken: 3600, Session: 3600, Interaction: 600, Grant: 3600 },
    rotateRefreshToken: true,
    issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
  }),
  pkce: { required: () => true },
  scopes: ['openid', 'offline_access', 'profile', 'email', 'api:read'],
  findAccount: (ctx, sub) => ({
    accountId: sub,
    claims: () => ({ sub, name: sub, preferred_username: sub, email: `${sub}@example.com` }),
  }),
});

provider.proxy = Boolean(process.env.ISSUER);

const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`));
for (const [grant, member, others] of [
  ['urn:ietf:params:oauth:grant-type:token-exchange', 'subject_token', ['subject_token_type', 'actor_token', 'actor_token_type']],
  ['urn:ietf:params:oauth:grant-type:jwt-bearer', 'assertion', []],
]) {
  const exchange = async (ctx) => {
    const { client, params } = ctx.oidc;
    let person;
    try {
      person = (await jwtVerify(params[member], keys, { issuer })).payload.sub;
    } catch {
      throw new errors.InvalidGrant(`${member} is not a token of ours`);
    }
    const actor = params.actor_token && (await provider.ClientCredentials.find(params.actor_token));
    if (params.actor_token && actor?.clientId !== client.clientId) throw new errors.InvalidGrant('not the actor');
    ctx.body = {
      access_token: [person, 'by', client.clientId, ...(actor ? ['acting'] : [])].join('-'),
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'Bearer',
      expires_in: 60,
    };
  };
  provider.registerGrantType(grant, exchange, [member, ...others, 'scope', 'audience', 'resource'], ['audience', 'resource']);
}
provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
