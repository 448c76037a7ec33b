-- What is still to be withdrawn at a vendor for a grant that has ended here, and how that went. The tokens are sealed as
-- they were in the grant's row, and gone as soon as nothing is to be sent any more. `next_at` is when the next attempt is
-- due; while one is under way it is the end of its lease, and `attempts` its fence.
CREATE TABLE revocation (
    grant_id          TEXT PRIMARY KEY,
    account           TEXT NOT NULL,
    provider_id       TEXT NOT NULL,
    issuer            TEXT NOT NULL,
    token_origin      TEXT NOT NULL,
    client_id         TEXT NOT NULL,
    resources         TEXT NOT NULL,
    access_token      BLOB,
    refresh_token     BLOB,
    access_expires_at INTEGER,
    state             TEXT NOT NULL,
    reason            TEXT,
    attempts          INTEGER NOT NULL,
    next_at           INTEGER NOT NULL,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL
) STRICT;
CREATE INDEX revocation_due ON revocation (next_at) WHERE state = 'pending';

CREATE INDEX oauth2_grant_user ON oauth2_grant (user_key);
CREATE INDEX oauth2_grant_person ON oauth2_grant (person) WHERE person IS NOT NULL;
CREATE INDEX oauth2_grant_age ON oauth2_grant (account, created_at) WHERE ended_at IS NULL;
CREATE INDEX authorization_session_user ON authorization_session (user_key);
