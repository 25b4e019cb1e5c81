-- db/vault.db, version 2: what version 1 did not have.

-- The spool: what is held ---------------------------------------------------------------------------------------------

-- 1: not offered until it is released. 2: dropped while a courier had it; final when it comes back without an outcome.
ALTER TABLE spool_rcpt ADD COLUMN held INTEGER NOT NULL DEFAULT 0 CHECK(held BETWEEN 0 AND 2);
DROP INDEX sr_due;
CREATE INDEX sr_ready ON spool_rcpt(lane, next_us, msg) WHERE state = 0 AND held = 0;
CREATE INDEX sr_doomed ON spool_rcpt(msg) WHERE held = 2;

-- Limits --------------------------------------------------------------------------------------------------------------

-- The last hour with mail (hours since 1970) and its recipients, and the recipients of the day's busiest hour: what a
-- credential's volume is compared with.
ALTER TABLE rl_quota ADD COLUMN hour INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rl_quota ADD COLUMN hour_rcpts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rl_quota ADD COLUMN peak INTEGER NOT NULL DEFAULT 0;

-- Credentials that sent far beyond their history on a day. Without until_us the suspension was lifted: no other that day.
CREATE TABLE suspension(credential TEXT PRIMARY KEY, day INTEGER NOT NULL, until_us INTEGER) STRICT, WITHOUT ROWID;

-- Addresses that a credential has logged in from, by a keyed hash of both, and the last day of it.
CREATE TABLE login_home(alias TEXT PRIMARY KEY, day INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- The spool: bodies at rest -------------------------------------------------------------------------------------------

-- The key that a body is sealed with, wrapped by a master key. A message without a row here was kept before there were any.
CREATE TABLE spool_key(
  msg     INTEGER PRIMARY KEY REFERENCES spool_msg ON DELETE CASCADE,
  master  BLOB NOT NULL CHECK(length(master) = 8),      -- which one
  wrapped BLOB NOT NULL CHECK(length(wrapped) = 60)
) STRICT;

-- Anchors: heads of the log that were kept outside of it ---------------------------------------------------------------

-- Each success until it is in the auditors' files, and always the last one of each anchor.
CREATE TABLE audit_anchor(
  name TEXT NOT NULL, size INTEGER NOT NULL CHECK(size > 0), time_us INTEGER NOT NULL,
  proof TEXT,                                           -- the cosignature of a witness, the id of a mail
  published INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(name, size)
) STRICT, WITHOUT ROWID;

-- What was said of an anchor, so that no restart says it again.
CREATE TABLE audit_anchor_state(
  name TEXT PRIMARY KEY,
  since_us  INTEGER NOT NULL,                           -- when it was first seen in the configuration
  told_us   INTEGER NOT NULL DEFAULT 0,                 -- its last audit.anchor
  overdue   INTEGER NOT NULL DEFAULT 0,                 -- anchor.overdue was written and it has not succeeded since
  contradicted INTEGER                                  -- the size of a witness' head that this log does not extend
) STRICT, WITHOUT ROWID;

-- Heads on their way by mail.
CREATE TABLE audit_anchor_mail(
  msg_id BLOB PRIMARY KEY CHECK(length(msg_id) = 16), name TEXT NOT NULL, size INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Erasures: what audit events order to be taken out of the files ------------------------------------------------------

CREATE TABLE audit_erasure(
  seq   INTEGER PRIMARY KEY,                            -- the event
  event TEXT NOT NULL, data TEXT NOT NULL,              -- its name and its data: what is to go
  rule  TEXT UNIQUE,                                    -- a month's turn of a retention rule: remembered when it is done
  done  INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Credentials ---------------------------------------------------------------------------------------------------------

-- Of a generated key: sixteen bits under a key of this vault's, by which most guesses are refused without hashing.
ALTER TABLE credential_secret ADD COLUMN tag INTEGER CHECK(tag BETWEEN 0 AND 65535);

-- Ends of credentials (key_id is empty) and of their secrets that were written down: each end is one event.
CREATE TABLE credential_end(
  credential TEXT NOT NULL, key_id TEXT NOT NULL, expires_us INTEGER NOT NULL, PRIMARY KEY(credential, key_id)
) STRICT, WITHOUT ROWID;
