-- Independent logins, refresh of claims, and logout by the identity provider.
ALTER TABLE session ADD COLUMN application TEXT NOT NULL DEFAULT '';
-- SHA-256 of issuer and `sid` claim: what OpenID Connect Back-Channel Logout names a session by.
ALTER TABLE session ADD COLUMN idp_session TEXT;
ALTER TABLE session ADD COLUMN idle_timeout BIGINT NOT NULL DEFAULT 7200000000;
-- Counts the records a session has had.
ALTER TABLE session ADD COLUMN version BIGINT NOT NULL DEFAULT 0;
-- The lease under which one replica, and one request of it, refreshes.
ALTER TABLE session ADD COLUMN refresh_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN refresh_fence BIGINT NOT NULL DEFAULT 0;
-- 1 after a refresh in vain, until the next one begins.
ALTER TABLE session ADD COLUMN refresh_paused BIGINT NOT NULL DEFAULT 0;
CREATE INDEX session_idp_session ON session (idp_session);

-- Logout tokens taken, so that each is taken once.
CREATE TABLE logout_token (
    token_hash TEXT    NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
