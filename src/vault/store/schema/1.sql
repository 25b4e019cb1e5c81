-- db/vault.db: opened by the vault alone. Times are unix microseconds. What is kept here of the audit log is its tree and
-- the events that have not been moved to the auditors' files yet.

CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- The audit log -------------------------------------------------------------------------------------------------------

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

-- Salted commitments: the value, and what auditors see instead of it.
CREATE TABLE audit_personal(
  seq INTEGER NOT NULL, field TEXT NOT NULL, n INTEGER NOT NULL,
  salt BLOB, value TEXT, commitment BLOB NOT NULL CHECK(length(commitment) = 32),
  shown TEXT, shown_salt BLOB, shown_commitment BLOB,
  PRIMARY KEY(seq, field, n)
) STRICT, WITHOUT ROWID;

-- C2SP tlog-tiles, full ones only; kept for ever, but those of level 0 as audit.retain_hashes says.
CREATE TABLE audit_tile(
  level INTEGER NOT NULL, number INTEGER NOT NULL, hashes BLOB NOT NULL CHECK(length(hashes) = 8192),
  PRIMARY KEY(level, number)
) STRICT, WITHOUT ROWID;

-- The leaves behind the last full tile, and always the very last one: size and time of the log, when its events are gone.
CREATE TABLE audit_edge(
  seq INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, leaf_hash BLOB NOT NULL CHECK(length(leaf_hash) = 32)
) STRICT;

-- Signed notes that have not been moved to the auditors' files, and always the last one.
CREATE TABLE audit_checkpoint(
  size INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, root BLOB NOT NULL CHECK(length(root) = 32), note TEXT NOT NULL
) STRICT;

-- The spool -----------------------------------------------------------------------------------------------------------

CREATE TABLE spool_msg(
  id          INTEGER PRIMARY KEY,
  msg_id      BLOB NOT NULL UNIQUE CHECK(length(msg_id) = 16),
  accept_seq  INTEGER NOT NULL,                         -- the leaf of its msg.accept
  session_id  BLOB NOT NULL CHECK(length(session_id) = 16),
  principal   TEXT NOT NULL,
  mail_from   TEXT,                                     -- NULL is the null reverse-path
  bytes       INTEGER NOT NULL,
  sha256      BLOB NOT NULL CHECK(length(sha256) = 32),
  accepted_us INTEGER NOT NULL,
  expires_us  INTEGER NOT NULL,
  flags       INTEGER NOT NULL DEFAULT 0,               -- bits: 1 8BITMIME, 2 SMTPUTF8, 4 REQUIRETLS, 8 RET=HDRS, 16 RET=FULL
  envid       TEXT,                                     -- RFC 3461 section 4.4
  hold        INTEGER NOT NULL DEFAULT 0,
  priority    INTEGER NOT NULL DEFAULT 0,
  done_us     INTEGER                                   -- every recipient has its final state; the body is gone
) STRICT;
CREATE INDEX sm_done ON spool_msg(done_us) WHERE done_us IS NOT NULL;

CREATE TABLE spool_body(
  msg     INTEGER PRIMARY KEY REFERENCES spool_msg ON DELETE CASCADE,
  content BLOB,
  segment TEXT,                                         -- or the file in db/ that holds it
  CHECK((content IS NULL) <> (segment IS NULL))
) STRICT;

CREATE TABLE spool_rcpt(
  msg      INTEGER NOT NULL REFERENCES spool_msg ON DELETE CASCADE,
  n        INTEGER NOT NULL,
  rcpt     TEXT NOT NULL,
  lane     TEXT NOT NULL,                               -- the upstreams of its route, in order
  state    INTEGER NOT NULL CHECK(state BETWEEN 0 AND 4), -- 0 waiting, 1 leased, 2 delivered, 3 failed, 4 expired
  attempts INTEGER NOT NULL DEFAULT 0,
  next_us  INTEGER NOT NULL,
  job      INTEGER,                                     -- while leased
  code     INTEGER, enhanced TEXT, said TEXT,           -- the last answer
  notify   INTEGER, orcpt TEXT,                         -- RFC 3461 sections 4.1 and 4.2
  PRIMARY KEY(msg, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX sr_due ON spool_rcpt(lane, next_us, msg) WHERE state = 0;
CREATE INDEX sr_job ON spool_rcpt(job) WHERE job IS NOT NULL;

-- A message on offer to a courier: written before the offer, so that no attempt can be forgotten.
CREATE TABLE spool_lease(
  job INTEGER PRIMARY KEY, msg INTEGER NOT NULL REFERENCES spool_msg ON DELETE CASCADE,
  upstream TEXT NOT NULL, delivery_id BLOB NOT NULL, leased_us INTEGER NOT NULL
) STRICT;

-- Credentials and limits ----------------------------------------------------------------------------------------------

CREATE TABLE credential(
  id TEXT PRIMARY KEY, policy TEXT NOT NULL, gen INTEGER NOT NULL,
  created_us INTEGER NOT NULL, expires_us INTEGER, disabled_us INTEGER
) STRICT, WITHOUT ROWID;

-- Up to two per credential, so that one can be replaced while the other still works.
CREATE TABLE credential_secret(
  key_id TEXT PRIMARY KEY, credential TEXT NOT NULL REFERENCES credential ON DELETE CASCADE,
  phc TEXT NOT NULL, created_us INTEGER NOT NULL, expires_us INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX cs_credential ON credential_secret(credential);

-- GCRA: the theoretical arrival time of each bucket.
CREATE TABLE rl_bucket(scope INTEGER NOT NULL, key TEXT NOT NULL, tat_us INTEGER NOT NULL, PRIMARY KEY(scope, key)) STRICT, WITHOUT ROWID;
CREATE TABLE rl_quota(
  scope INTEGER NOT NULL, key TEXT NOT NULL, day INTEGER NOT NULL,
  msgs INTEGER NOT NULL, rcpts INTEGER NOT NULL, bytes INTEGER NOT NULL,
  PRIMARY KEY(scope, key, day)
) STRICT, WITHOUT ROWID;
