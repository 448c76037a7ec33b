// Makes an RSA and a P-256 key: PKCS#8 PEM in DIRECTORY, the public halves printed as JSON by name.
// Usage: node client_keys.mjs DIRECTORY
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';

const jwks = {};
for (const [name, kind, options] of [['rsa', 'rsa', { modulusLength: 2048 }], ['ec', 'ec', { namedCurve: 'P-256' }]]) {
  const { privateKey, publicKey } = generateKeyPairSync(kind, options);
  writeFileSync(path.join(process.argv[2], `${name}.pem`), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  jwks[name] = { ...publicKey.export({ format: 'jwk' }), kid: name, use: 'sig' };
}
console.log(JSON.stringify(jwks));
