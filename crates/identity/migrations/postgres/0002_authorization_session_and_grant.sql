-- Design chapter 5. `deadline` is when the present status lapses. Everything a holder could use (session URI,
-- completion handle, state, PKCE verifier, code) is a hash or sealed.
CREATE TABLE authorization_session (
    id               TEXT PRIMARY KEY,
    account          TEXT NOT NULL,
    workload_id      TEXT NOT NULL,
    workload_name    TEXT NOT NULL,
    provider_id      TEXT NOT NULL,
    provider_name    TEXT NOT NULL,
    provider_version BIGINT NOT NULL,
    user_key         BYTEA NOT NULL,
    person           TEXT,
    sid              TEXT,
    vault_key        BYTEA NOT NULL,
    slot             BYTEA NOT NULL,
    request          BYTEA NOT NULL,
    scopes           TEXT NOT NULL,
    return_url       TEXT NOT NULL,
    forced           BIGINT NOT NULL,
    uri_hash         BYTEA NOT NULL UNIQUE,
    state_hash       BYTEA NOT NULL UNIQUE,
    handle_hash      BYTEA UNIQUE,
    browser_hash     BYTEA,
    secrets          BYTEA NOT NULL,
    code             BYTEA,
    status           TEXT NOT NULL,
    reason           TEXT,
    error            TEXT,
    grant_id         TEXT,
    created_at       BIGINT NOT NULL,
    deadline         BIGINT NOT NULL,
    ended_at         BIGINT
);

-- One session of a vault key and scope set waits for a browser: the rule of supersession.
CREATE UNIQUE INDEX authorization_session_slot ON authorization_session (slot)
    WHERE status IN ('created', 'started');
CREATE INDEX authorization_session_live ON authorization_session (deadline) WHERE ended_at IS NULL;
CREATE INDEX authorization_session_ended ON authorization_session (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX authorization_session_person ON authorization_session (workload_id, user_key) WHERE ended_at IS NULL;

-- Design D13, D14. A grant with `ended_at` holds no tokens.
CREATE TABLE oauth2_grant (
    id                TEXT PRIMARY KEY,
    account           TEXT NOT NULL,
    workload_id       TEXT NOT NULL,
    workload_name     TEXT NOT NULL,
    provider_id       TEXT NOT NULL,
    provider_name     TEXT NOT NULL,
    user_key          BYTEA NOT NULL,
    person            TEXT,
    sid               TEXT,
    session_id        TEXT NOT NULL,
    vault_key         BYTEA NOT NULL,
    scopes            TEXT NOT NULL,
    declined          TEXT NOT NULL,
    scope_set         BYTEA NOT NULL,
    issuer            TEXT NOT NULL,
    token_origin      TEXT NOT NULL,
    client_id         TEXT NOT NULL,
    resources         TEXT NOT NULL,
    account_identity  BYTEA,
    access_token      BYTEA,
    refresh_token     BYTEA,
    access_expires_at BIGINT,
    state             TEXT NOT NULL,
    fence             BIGINT NOT NULL,
    lease_until       BIGINT,
    reason            TEXT,
    created_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL,
    ended_at          BIGINT
);

CREATE UNIQUE INDEX oauth2_grant_live ON oauth2_grant (vault_key, scope_set) WHERE ended_at IS NULL;
CREATE INDEX oauth2_grant_connection ON oauth2_grant (workload_id, provider_id, user_key) WHERE ended_at IS NULL;
CREATE INDEX oauth2_grant_account ON oauth2_grant (account, id);
