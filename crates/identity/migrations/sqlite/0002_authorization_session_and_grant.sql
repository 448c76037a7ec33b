-- Design chapter 5. `deadline` is when the present status lapses. Everything a holder could use (session URI,
-- completion handle, state, PKCE verifier, code) is a hash or sealed.
CREATE TABLE authorization_session (
    id               TEXT PRIMARY KEY,
    account          TEXT NOT NULL,
    workload_id      TEXT NOT NULL,
    workload_name    TEXT NOT NULL,
    provider_id      TEXT NOT NULL,
    provider_name    TEXT NOT NULL,
    provider_version INTEGER NOT NULL,
    user_key         BLOB NOT NULL,
    person           TEXT,
    sid              TEXT,
    vault_key        BLOB NOT NULL,
    slot             BLOB NOT NULL,
    request          BLOB NOT NULL,
    scopes           TEXT NOT NULL,
    return_url       TEXT NOT NULL,
    forced           INTEGER NOT NULL,
    uri_hash         BLOB NOT NULL UNIQUE,
    state_hash       BLOB NOT NULL UNIQUE,
    handle_hash      BLOB UNIQUE,
    browser_hash     BLOB,
    secrets          BLOB NOT NULL,
    code             BLOB,
    status           TEXT NOT NULL,
    reason           TEXT,
    error            TEXT,
    grant_id         TEXT,
    created_at       INTEGER NOT NULL,
    deadline         INTEGER NOT NULL,
    ended_at         INTEGER
) STRICT;

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
    user_key          BLOB NOT NULL,
    person            TEXT,
    sid               TEXT,
    session_id        TEXT NOT NULL,
    vault_key         BLOB NOT NULL,
    scopes            TEXT NOT NULL,
    declined          TEXT NOT NULL,
    scope_set         BLOB NOT NULL,
    issuer            TEXT NOT NULL,
    token_origin      TEXT NOT NULL,
    client_id         TEXT NOT NULL,
    resources         TEXT NOT NULL,
    account_identity  BLOB,
    access_token      BLOB,
    refresh_token     BLOB,
    access_expires_at INTEGER,
    state             TEXT NOT NULL,
    fence             INTEGER NOT NULL,
    lease_until       INTEGER,
    reason            TEXT,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    ended_at          INTEGER
) STRICT;

CREATE UNIQUE INDEX oauth2_grant_live ON oauth2_grant (vault_key, scope_set) WHERE ended_at IS NULL;
CREATE INDEX oauth2_grant_connection ON oauth2_grant (workload_id, provider_id, user_key) WHERE ended_at IS NULL;
CREATE INDEX oauth2_grant_account ON oauth2_grant (account, id);
