-- Design D14. `generation` counts a grant's pairs: a new pair is stored only in the place of the one that was presented
-- for it. `presented_at` is written before the pair's refresh token first leaves, and stays until the outcome is known.
-- `rotates` is what was observed: 1 the last refresh gave another refresh token, 0 it did not.
ALTER TABLE oauth2_grant ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;
ALTER TABLE oauth2_grant ADD COLUMN presented_at BIGINT;
ALTER TABLE oauth2_grant ADD COLUMN rotates BIGINT;
ALTER TABLE oauth2_grant ADD COLUMN failures BIGINT NOT NULL DEFAULT 0;
ALTER TABLE oauth2_grant ADD COLUMN retry_at BIGINT;
ALTER TABLE oauth2_grant ADD COLUMN access_issued_at BIGINT;
UPDATE oauth2_grant SET state = 'outcome_unknown', presented_at = updated_at WHERE state = 'unknown';
UPDATE oauth2_grant SET presented_at = updated_at WHERE state = 'refreshing';
