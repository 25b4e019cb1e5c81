-- The list again.

CREATE TABLE moving AS SELECT * FROM audit_event;
DROP TABLE audit_event;
CREATE TABLE audit_event(
  seq         INTEGER PRIMARY KEY CHECK(seq >= 0),      -- index of the leaf, without gaps from 0
  time_us     INTEGER NOT NULL CHECK(time_us > 0),      -- never decreasing with seq
  event       TEXT NOT NULL,
  outcome     TEXT NOT NULL CHECK(outcome IN('success','failure','deferred','denied','info')),
  severity    INTEGER NOT NULL CHECK(severity BETWEEN 0 AND 7),
  component   TEXT NOT NULL,
  session_id  TEXT, msg_id TEXT, delivery_id TEXT, actor TEXT, listener TEXT, tls TEXT,
  smtp_code   INTEGER, enhanced TEXT, reason TEXT, upstream TEXT, mx TEXT,
  bytes       INTEGER, rcpt_count INTEGER, attempt INTEGER, duration_us INTEGER,
  data        TEXT, truncated INTEGER,
  leaf_hash   BLOB NOT NULL CHECK(length(leaf_hash) = 32)
) STRICT;
INSERT INTO audit_event SELECT * FROM moving;
DROP TABLE moving;
