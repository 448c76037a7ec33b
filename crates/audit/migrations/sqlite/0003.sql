-- What is about a session, a login or a grant, in the order of its times: a grant that is used for a year has a million
-- records, of which a page is wanted.
CREATE INDEX audit_record_of_sid ON audit_record (sid, recorded_at) WHERE sid IS NOT NULL;
CREATE INDEX audit_record_of_session ON audit_record (session_id, recorded_at) WHERE session_id IS NOT NULL;
CREATE INDEX audit_record_of_grant ON audit_record (grant_id, recorded_at) WHERE grant_id IS NOT NULL;
DROP INDEX audit_record_sid;
DROP INDEX audit_record_session_id;
DROP INDEX audit_record_grant_id;

-- The release of a token writes to none of the following.
CREATE INDEX audit_record_not_done ON audit_record (recorded_at) WHERE outcome <> 'done';
CREATE INDEX audit_record_of_reason ON audit_record (reason, recorded_at) WHERE reason IS NOT NULL;
CREATE INDEX audit_record_login ON audit_record (sid, recorded_at) WHERE action = 'Login';
CREATE INDEX audit_record_workload_access_token ON audit_record (sid, workload, recorded_at) WHERE action IN
    ('GetWorkloadAccessToken', 'GetWorkloadAccessTokenForJWT', 'GetWorkloadAccessTokenForUserId');
