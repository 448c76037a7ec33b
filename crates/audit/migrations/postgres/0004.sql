-- What became of a grant, for reports: a handful of records among a million releases, refreshes and reads of it. The release
-- of a token does not write to it.
CREATE INDEX audit_record_fate ON audit_record (grant_id, recorded_at) WHERE action IN
    ('CompleteResourceTokenAuth', 'RevokeAtProvider', 'RevokeGrant', 'EndGrant', 'DisconnectGrant', 'Disconnect');
