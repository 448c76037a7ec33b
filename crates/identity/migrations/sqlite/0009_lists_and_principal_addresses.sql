-- Lists of a vault with a million grants, a page at a time.
CREATE INDEX oauth2_grant_of_workload ON oauth2_grant (account, workload_name, id);
CREATE INDEX oauth2_grant_of_provider ON oauth2_grant (account, provider_name, id);
CREATE INDEX oauth2_grant_of_user ON oauth2_grant (account, user_key, id);
CREATE INDEX oauth2_grant_ailing ON oauth2_grant (account, id)
    WHERE ended_at IS NULL AND (state = 'needs_consent' OR state = 'outcome_unknown' OR failures > 0);
CREATE INDEX oauth2_grant_ending ON oauth2_grant (account, access_expires_at)
    WHERE ended_at IS NULL AND refresh_token IS NULL AND access_expires_at IS NOT NULL;
CREATE INDEX authorization_session_of_account ON authorization_session (account, id);
CREATE INDEX revocation_open ON revocation (account, state, created_at) WHERE state <> 'done';

-- From where each principal has called; `address` is an IPv4 address or the first 64 bits of an IPv6 address.
CREATE TABLE principal_address (
    account       TEXT NOT NULL,
    principal     TEXT NOT NULL,
    address       TEXT NOT NULL,
    first_seen_at INTEGER NOT NULL,
    last_seen_at  INTEGER NOT NULL,
    PRIMARY KEY (account, principal, address)
) STRICT;
CREATE INDEX principal_address_last_seen ON principal_address (account, last_seen_at);
