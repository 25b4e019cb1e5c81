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
  active     INTEGER NOT NULL CHECK(active BETWEEN 0 AND 1), -- 0: bounces are counted, and too few yet
  bounces    INTEGER NOT NULL,
  PRIMARY KEY(tag, scope)
) STRICT, WITHOUT ROWID;
CREATE INDEX su_expires ON suppression(expires_us) WHERE expires_us IS NOT NULL;
