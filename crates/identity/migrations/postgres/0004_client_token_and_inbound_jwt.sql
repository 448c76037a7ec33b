-- Access tokens that a workload has for itself (client credentials), sealed, until they expire. One that was got
-- under another version of the provider's registration is never served.
CREATE TABLE client_token (
    id               TEXT PRIMARY KEY,
    account          TEXT NOT NULL,
    workload_id      TEXT NOT NULL REFERENCES workload_identity (id) ON DELETE CASCADE,
    provider_id      TEXT NOT NULL REFERENCES oauth2_provider (id) ON DELETE CASCADE,
    provider_version BIGINT NOT NULL,
    vault_key        BYTEA NOT NULL,
    scope_set        BYTEA NOT NULL,
    scopes           TEXT NOT NULL,
    access_token     BYTEA NOT NULL,
    expires_at       BIGINT NOT NULL,
    created_at       BIGINT NOT NULL,
    UNIQUE (vault_key, scope_set)
);
CREATE INDEX client_token_expiry ON client_token (expires_at);
CREATE INDEX client_token_workload ON client_token (workload_id);
CREATE INDEX client_token_provider ON client_token (provider_id);

-- Design D7: people's own tokens that are too long to travel inside a workload access token, sealed. Each dies with
-- the workload access token that names it.
CREATE TABLE inbound_jwt (
    id         TEXT PRIMARY KEY,
    account    TEXT NOT NULL,
    jwt        BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX inbound_jwt_expiry ON inbound_jwt (expires_at);
