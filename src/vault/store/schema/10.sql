-- db/vault.db, version 10: what version 9 did not have.

-- The spool: what leaves for another gate -----------------------------------------------------------------------------

-- Recipients whom `queue export --drop` holds until its archive is whole. Whoever was held before, or is held by an order
-- meanwhile, is none of them.
CREATE TABLE spool_leaving(
  msg INTEGER NOT NULL REFERENCES spool_msg ON DELETE CASCADE, n INTEGER NOT NULL, PRIMARY KEY(msg, n)
) STRICT, WITHOUT ROWID;
