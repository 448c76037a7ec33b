-- Tags: a JSON object. Trust: a JSON object; a principal that has one is a role.
ALTER TABLE principal ADD COLUMN tags TEXT NOT NULL DEFAULT '{}';
ALTER TABLE principal ADD COLUMN trust TEXT;
ALTER TABLE access_key ADD COLUMN status TEXT NOT NULL DEFAULT 'active';
ALTER TABLE access_key ADD COLUMN last_used_at BIGINT;
