-- db/vault.db, version 10: what version 9 did not have.

-- The spool: what leaves for another gate -----------------------------------------------------------------------------

-- Recipients whom `queue export --drop` holds until its archive is whole. Whoever was held before, or is held by an order
-- meanwhile, is none of them.
CREATE TABLE spool_leaving(
  msg INTEGER NOT NULL REFERENCES spool_msg ON DELETE CASCADE, n INTEGER NOT NULL, PRIMARY KEY(msg, n)
) STRICT, WITHOUT ROWID;

-- Addresses that nothing is sent to -----------------------------------------------------------------------------------

CREATE TABLE suppression(
  tag        BLOB NOT NULL CHECK(length(tag) = 32),     -- the address under a key of the vault's: what is looked for
  scope      TEXT NOT NULL,                             -- a credential, or '' for all
  address    TEXT,                                      -- NULL: erased
  reason     INTEGER NOT NULL CHECK(reason BETWEEN 0 AND 2), -- 0 manual, 1 bounce, 2 complaint
  since_us   INTEGER NOT NULL,
  expires_us INTEGER,                                   -- NULL: never
  note       TEXT,
  alone      INTEGER NOT NULL CHECK(alone BETWEEN 0 AND 1), -- 1: by bounces, 0: by an order
  PRIMARY KEY(tag, scope)
) STRICT, WITHOUT ROWID;
CREATE INDEX su_expires ON suppression(expires_us) WHERE expires_us IS NOT NULL;

-- Bounces of an address that are too few yet. The address itself is not kept for that.
CREATE TABLE suppression_bounce(
  tag        BLOB NOT NULL CHECK(length(tag) = 32),
  scope      TEXT NOT NULL,
  bounces    INTEGER NOT NULL,
  since_us   INTEGER NOT NULL,                          -- the last one
  expires_us INTEGER NOT NULL,
  PRIMARY KEY(tag, scope)
) STRICT, WITHOUT ROWID;
CREATE INDEX sb_since ON suppression_bounce(since_us);
CREATE INDEX sb_scope ON suppression_bounce(scope, since_us);
CREATE INDEX sb_expires ON suppression_bounce(expires_us);
