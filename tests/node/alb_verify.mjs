// AWS's own verifier of load balancers' tokens, `aws-jwt-verify`, at our key host.
// Usage: node alb_verify.mjs NODE_MODULES KEY_HOST ALB_ARN ISSUER CLIENT_ID TOKEN
//
// It speaks HTTPS alone, as the real key host does; the fetcher here is the one part that is replaced.
import { createRequire } from 'node:module';
import path from 'node:path';

const [modules, keyHost, albArn, issuer, clientId, token] = process.argv.slice(2);
const require = createRequire(path.join(modules, 'x.js'));
const { AlbJwtVerifier } = require('aws-jwt-verify');
const { AlbJwksCache } = require(path.join(modules, 'aws-jwt-verify/dist/cjs/alb-cache.js'));

const fetcher = {
  async fetch(uri) {
    const answer = await fetch(uri);
    if (!answer.ok) throw new Error(`${uri}: ${answer.status}`);
    return answer.arrayBuffer();
  },
};
const verify = (properties) =>
  AlbJwtVerifier.create(
    { albArn, issuer, clientId, jwksUri: keyHost, ...properties },
    { jwksCache: new AlbJwksCache({ fetcher }) },
  ).verify(token);

const claims = await verify({});
const refused = {};
for (const [name, properties] of Object.entries({
  signer: { albArn: albArn.replace('countersign', 'another') },
  issuer: { issuer: 'https://another.example' },
  client: { clientId: 'another' },
})) {
  refused[name] = await verify(properties).then(
    () => 'accepted',
    (error) => error.constructor.name,
  );
}
console.log(JSON.stringify({ claims, refused }));
