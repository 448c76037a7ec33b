-- `api_key` is sealed (design D27); `external` names a secret in the customer's Secrets Manager. One of the two.
CREATE TABLE api_key_provider (
    id         TEXT PRIMARY KEY,
    account    TEXT NOT NULL REFERENCES account (id),
    name       TEXT NOT NULL,
    api_key    BLOB,
    external   TEXT,
    tags       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (account, name)
) STRICT;

-- Of the workload identity directory and the token vault, which have no rows of their own.
CREATE TABLE resource_tag (
    account  TEXT NOT NULL REFERENCES account (id),
    resource TEXT NOT NULL,
    tags     TEXT NOT NULL,
    PRIMARY KEY (account, resource)
) STRICT;
