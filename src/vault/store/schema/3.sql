-- db/vault.db, version 3: what version 2 did not have.

-- The spool: reports --------------------------------------------------------------------------------------------------

-- 1: the sender is still to be told what became of this recipient. Until then the body stays.
ALTER TABLE spool_rcpt ADD COLUMN owed INTEGER NOT NULL DEFAULT 0 CHECK(owed BETWEEN 0 AND 1);
-- The host that gave the last answer.
ALTER TABLE spool_rcpt ADD COLUMN host TEXT;
CREATE INDEX sr_owed ON spool_rcpt(msg) WHERE owed = 1;
