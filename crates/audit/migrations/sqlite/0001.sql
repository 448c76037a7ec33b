CREATE TABLE audit_record (
    writer TEXT NOT NULL,
    seq INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    role TEXT NOT NULL,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    action TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    principal TEXT,
    request_id TEXT,
    trace_id TEXT,
    source TEXT,
    sid TEXT,
    workload TEXT,
    provider TEXT,
    session_id TEXT,
    grant_id TEXT,
    person TEXT,
    personal BLOB,
    detail TEXT NOT NULL,
    previous BLOB NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (writer, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_record_recorded_at ON audit_record (recorded_at);
CREATE INDEX audit_record_request_id ON audit_record (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX audit_record_sid ON audit_record (sid) WHERE sid IS NOT NULL;
CREATE INDEX audit_record_session_id ON audit_record (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX audit_record_grant_id ON audit_record (grant_id) WHERE grant_id IS NOT NULL;

CREATE TABLE audit_checkpoint (
    number INTEGER PRIMARY KEY,
    statement TEXT NOT NULL,
    signature TEXT NOT NULL
) STRICT;

CREATE TABLE person_key (
    id TEXT PRIMARY KEY,
    pseudonym TEXT UNIQUE,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
