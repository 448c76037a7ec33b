CREATE TABLE account (
    id         TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL
) STRICT;

-- Design D24, D27. `wrapped` opens only through the key provider.
CREATE TABLE key_version (
    id              TEXT PRIMARY KEY,
    account         TEXT NOT NULL REFERENCES account (id),
    purpose         TEXT NOT NULL,
    version         INTEGER NOT NULL,
    state           TEXT NOT NULL,
    resource        TEXT NOT NULL,
    wrapped         BLOB NOT NULL,
    provider_key_id TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    UNIQUE (account, purpose, version)
) STRICT;
CREATE UNIQUE INDEX key_version_primary ON key_version (account, purpose) WHERE state = 'primary';

CREATE TABLE principal (
    id                TEXT PRIMARY KEY,
    account           TEXT NOT NULL REFERENCES account (id),
    name              TEXT NOT NULL,
    policy            TEXT,
    break_glass       INTEGER NOT NULL,
    policy_updated_at INTEGER,
    created_at        INTEGER NOT NULL,
    UNIQUE (account, name)
) STRICT;

-- SigV4 needs the secret itself; it is sealed.
CREATE TABLE access_key (
    id           TEXT PRIMARY KEY,
    account      TEXT NOT NULL,
    principal_id TEXT NOT NULL REFERENCES principal (id),
    secret       BLOB NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX access_key_principal ON access_key (principal_id);

CREATE TABLE workload_identity (
    id                  TEXT PRIMARY KEY,
    account             TEXT NOT NULL REFERENCES account (id),
    name                TEXT NOT NULL,
    allowed_return_urls TEXT NOT NULL,
    return_handle       TEXT NOT NULL,
    tags                TEXT NOT NULL,
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER NOT NULL,
    UNIQUE (account, name)
) STRICT;

CREATE TABLE oauth2_provider (
    id             TEXT PRIMARY KEY,
    account        TEXT NOT NULL REFERENCES account (id),
    name           TEXT NOT NULL,
    vendor         TEXT NOT NULL,
    config_version INTEGER NOT NULL,
    config         TEXT NOT NULL,
    client_id      TEXT NOT NULL,
    client_secret  BLOB NOT NULL,
    callback_id    TEXT NOT NULL UNIQUE,
    tags           TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    UNIQUE (account, name)
) STRICT;

-- Design D23.
CREATE TABLE stop (
    account    TEXT NOT NULL REFERENCES account (id),
    kind       TEXT NOT NULL,
    subject    TEXT NOT NULL,
    reason     TEXT,
    stopped_by TEXT NOT NULL,
    stopped_at INTEGER NOT NULL,
    PRIMARY KEY (account, kind, subject)
) STRICT;
