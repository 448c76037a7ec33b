// npm `oidc-provider` with single-use refresh tokens and its own reuse detection, for tests of refresh. Each browser is
// logged in as a new account and consents at once. `/log` says what became of each account's refresh tokens.
// Usage: node rotating_provider.mjs NODE_MODULES PORT ISSUER CLIENTS_JSON ACCESS_TOKEN_SECONDS
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, port, issuer, clients, seconds] = process.argv.slice(2);
const require = createRequire(path.join(modules, 'x.js'));
const { default: Provider } = await import(pathToFileURL(require.resolve('oidc-provider')).href);

// The one that comes with it forgets the oldest thousand.
const stored = new Map();
// After thousands of rounds nothing may look through all of it.
const byUid = new Map(); // model and uid -> key
const byGrant = new Map(); // grant -> keys
class Adapter {
  constructor(model) {
    this.key = (id) => `${model}:${id}`;
  }
  async find(id) {
    return stored.get(this.key(id));
  }
  async findByUid(uid) {
    return stored.get(byUid.get(this.key(uid)));
  }
  async upsert(id, payload) {
    const key = this.key(id);
    stored.set(key, payload);
    if (payload.uid) byUid.set(this.key(payload.uid), key);
    if (payload.grantId) {
      if (!byGrant.has(payload.grantId)) byGrant.set(payload.grantId, new Set());
      byGrant.get(payload.grantId).add(key);
    }
  }
  async consume(id) {
    stored.get(this.key(id)).consumed = Math.floor(Date.now() / 1000);
  }
  async destroy(id) {
    stored.delete(this.key(id));
  }
  async revokeByGrantId(grantId) {
    for (const key of byGrant.get(grantId) ?? []) stored.delete(key);
    byGrant.delete(grantId);
  }
}

const accounts = {}; // sub -> { rotations, access, refused }
const holders = new Map(); // access token -> sub
const presented = new Map(); // hash of a refresh token -> how often it came
let codes = 0;
let persons = 0;

const provider = new Provider(issuer, {
  adapter: Adapter,
  clients: JSON.parse(clients),
  claims: { openid: ['sub'] },
  cookies: { keys: ['only for tests'] },
  features: { devInteractions: { enabled: false }, introspection: { enabled: true }, revocation: { enabled: true } },
  pkce: { required: () => true },
  scopes: ['openid', 'offline_access', 'api:read'],
  ttl: { AccessToken: Number(seconds), Grant: 86400, Interaction: 600, RefreshToken: 86400, Session: 86400 },
  rotateRefreshToken: () => true,
  issueRefreshToken: async () => true,
  findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  async loadExistingGrant(ctx) {
    const grant = new provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope('openid offline_access api:read');
    await grant.save();
    return grant;
  },
});

// Its callback is known only once the provider is registered there, which needs the provider.
provider.Client.prototype.redirectUriAllowed = (uri) => new URL(uri).pathname.startsWith('/identities/oauth2/callback/');

// All accounts, those of these names, or the one that has this access token: after thousands of rounds all are many.
function asked({ names, access }) {
  if (names) return Object.fromEntries(names.split(',').map((name) => [name, accounts[name]]));
  if (access) {
    const holder = holders.get(access);
    return accounts[holder]?.access === access ? { [holder]: accounts[holder] } : {};
  }
  return accounts;
}

function holds(account, token) {
  accounts[account].access = token;
  holders.set(token, account);
}

provider.use(async (ctx, next) => {
  if (ctx.path.startsWith('/interaction/')) {
    persons += 1;
    await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: `account-${persons}` } });
    ctx.respond = false;
    return;
  }
  if (ctx.path === '/log') {
    const twice = [...presented.values()].filter((times) => times > 1).length;
    ctx.body = { accounts: asked(ctx.query), twice, presented: presented.size, codes };
    return;
  }
  await next();
  const params = ctx.path === '/token' ? ctx.oidc?.params : undefined;
  if (!params) return;
  const account = ctx.oidc.entities.Account?.accountId ?? ctx.oidc.entities.RefreshToken?.accountId;
  const known = (accounts[account] ??= { rotations: 0, access: null, refused: 0 });
  if (params.grant_type === 'authorization_code') {
    codes += 1;
    holds(account, ctx.body.access_token);
  } else if (params.grant_type === 'refresh_token') {
    const hash = createHash('sha256').update(params.refresh_token).digest('base64url');
    presented.set(hash, (presented.get(hash) ?? 0) + 1);
    if (ctx.status === 200) {
      known.rotations += 1;
      holds(account, ctx.body.access_token);
    } else {
      known.refused += 1;
    }
  }
});
provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
