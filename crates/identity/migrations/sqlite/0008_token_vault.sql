-- When what wraps an account's vault keys was last changed (SetTokenVaultCMK, ResetTokenVaultKeyMaterial). Which key that
-- is stands with each key, in key_version.
CREATE TABLE token_vault (
    account    TEXT PRIMARY KEY REFERENCES account (id),
    changed_at INTEGER NOT NULL
) STRICT;

-- Whether a newer request of a slot was completed (the other index of slots knows those that wait for a browser alone).
CREATE INDEX authorization_session_newer ON authorization_session (slot, created_at);
