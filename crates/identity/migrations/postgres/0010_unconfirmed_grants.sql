-- Design D12, account setting `account_change = "confirm"`: a grant in state `unconfirmed` is beside the live one of its
-- vault key and scope set, until the person has said which of the two stays.
-- For reads, which programs of before make without the condition of the new rule.
CREATE INDEX oauth2_grant_of_vault_key ON oauth2_grant (vault_key) WHERE ended_at IS NULL;
DROP INDEX oauth2_grant_live;
CREATE UNIQUE INDEX oauth2_grant_live ON oauth2_grant (vault_key, scope_set)
    WHERE ended_at IS NULL AND state <> 'unconfirmed';
CREATE INDEX oauth2_grant_unconfirmed ON oauth2_grant (created_at) WHERE state = 'unconfirmed' AND ended_at IS NULL;
