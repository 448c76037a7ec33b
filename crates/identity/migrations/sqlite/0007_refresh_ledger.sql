-- Design D14. `generation` counts a grant's pairs: a new pair is stored only in the place of the one that was presented
-- for it. `presented_at` is written before the pair's refresh token first leaves, and stays until the outcome is known.
-- `rotates` is what was observed: 1 the last refresh gave another refresh token, 0 it did not.
ALTER TABLE oauth2_grant ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE oauth2_grant ADD COLUMN presented_at INTEGER;
ALTER TABLE oauth2_grant ADD COLUMN rotates INTEGER;
ALTER TABLE oauth2_grant ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE oauth2_grant ADD COLUMN retry_at INTEGER;
ALTER TABLE oauth2_grant ADD COLUMN access_issued_at INTEGER;
UPDATE oauth2_grant SET state = 'outcome_unknown', presented_at = updated_at WHERE state = 'unknown';
UPDATE oauth2_grant SET presented_at = updated_at WHERE state = 'refreshing';
