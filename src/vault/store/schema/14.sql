-- db/vault.db, version 14: what the versions before it did not have.

-- Requests with an Idempotency-Key that were accepted -----------------------------------------------------------------

CREATE TABLE once(
  tag         BLOB PRIMARY KEY CHECK(length(tag) = 32),  -- credential and client's key under one that the master key gives
  principal   TEXT NOT NULL,
  fingerprint BLOB NOT NULL CHECK(length(fingerprint) = 32), -- what was sent, under the same
  message     BLOB NOT NULL CHECK(length(message) = 16), -- what came of it
  expires_us  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX on_expires ON once(expires_us);
CREATE INDEX on_principal ON once(principal);
CREATE INDEX on_message ON once(message);
