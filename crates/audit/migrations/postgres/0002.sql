CREATE TABLE evidence_delivery (
    name TEXT PRIMARY KEY,
    fence BIGINT NOT NULL,
    checkpoint_number BIGINT NOT NULL,
    writer TEXT NOT NULL,
    seq BIGINT NOT NULL,
    tried_checkpoint BIGINT NOT NULL,
    tried_writer TEXT NOT NULL,
    tried_seq BIGINT NOT NULL,
    delivered_at BIGINT,
    failing_since BIGINT,
    last_error TEXT
);
