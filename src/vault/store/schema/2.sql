-- db/vault.db, version 2: what version 1 did not have.

-- The spool: what is held ---------------------------------------------------------------------------------------------

-- 1: not offered until it is released. 2: dropped while a courier had it; final when it comes back without an outcome.
ALTER TABLE spool_rcpt ADD COLUMN held INTEGER NOT NULL DEFAULT 0 CHECK(held BETWEEN 0 AND 2);
DROP INDEX sr_due;
CREATE INDEX sr_ready ON spool_rcpt(lane, next_us, msg) WHERE state = 0 AND held = 0;
CREATE INDEX sr_doomed ON spool_rcpt(msg) WHERE held = 2;
