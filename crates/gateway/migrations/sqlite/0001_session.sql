-- A browser session. The record is sealed under a key that only the person's ticket cookies hold.
CREATE TABLE session (
    sid          TEXT    NOT NULL PRIMARY KEY,
    user_key     TEXT    NOT NULL,
    record       BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX session_expires_at ON session (expires_at);
CREATE INDEX session_user_key ON session (user_key);

-- A one-time code that carries a session from the account origin to another one.
CREATE TABLE handover (
    code_hash  TEXT    NOT NULL PRIMARY KEY,
    sid        TEXT    NOT NULL REFERENCES session (sid) ON DELETE CASCADE,
    origin     TEXT    NOT NULL,
    state_hash TEXT    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX handover_sid ON handover (sid);
CREATE INDEX handover_expires_at ON handover (expires_at);

-- The gateway's own keys, wrapped by its key provider.
CREATE TABLE key (
    id              TEXT    NOT NULL PRIMARY KEY,
    account         TEXT    NOT NULL,
    resource        TEXT    NOT NULL,
    purpose         TEXT    NOT NULL,
    version         INTEGER NOT NULL,
    state           TEXT    NOT NULL,
    wrapped         BLOB    NOT NULL,
    provider_key_id TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    UNIQUE (account, purpose, version)
) STRICT;
