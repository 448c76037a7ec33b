CREATE TABLE evidence_delivery (
    name TEXT PRIMARY KEY,
    fence INTEGER NOT NULL,
    checkpoint_number INTEGER NOT NULL,
    writer TEXT NOT NULL,
    seq INTEGER NOT NULL,
    tried_checkpoint INTEGER NOT NULL,
    tried_writer TEXT NOT NULL,
    tried_seq INTEGER NOT NULL,
    delivered_at INTEGER,
    failing_since INTEGER,
    last_error TEXT
) STRICT;
