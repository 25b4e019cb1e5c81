-- db/vault.db, version 9: what version 8 did not have.

-- The spool: reports --------------------------------------------------------------------------------------------------

-- 1: it is a report of the gate's own, and nothing is ever reported of it, whoever it is from.
ALTER TABLE spool_msg ADD COLUMN report INTEGER NOT NULL DEFAULT 0 CHECK(report BETWEEN 0 AND 1);
UPDATE spool_msg SET report = 1 WHERE mail_from IS NULL;
-- 1: its sender is told nothing, by what the credential said at the dot.
ALTER TABLE spool_msg ADD COLUMN untold INTEGER NOT NULL DEFAULT 0 CHECK(untold BETWEEN 0 AND 1);
-- Since when a recipient waits of whom the sender is to be told when that takes long. NULL: it was told, or is not to be.
ALTER TABLE spool_rcpt ADD COLUMN since_us INTEGER;
CREATE INDEX sr_since ON spool_rcpt(since_us, msg) WHERE since_us IS NOT NULL AND state < 2 AND held = 0;
