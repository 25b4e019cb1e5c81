-- db/vault.db, version 6: what version 5 did not have.

-- The spool: outcomes that nobody knows -------------------------------------------------------------------------------

-- What becomes of a recipient of whom nobody knows whether he has it, by what the credential said at the dot; for when the
-- credential is gone. 0: tried again, 1: held, 2: given up.
ALTER TABLE spool_msg ADD COLUMN on_unknown INTEGER NOT NULL DEFAULT 0 CHECK(on_unknown BETWEEN 0 AND 2);
-- The same of a lease, written before the courier is told of the content's end: from then on the message may be delivered.
-- Those that are tried again anyway have no mark.
ALTER TABLE spool_lease ADD COLUMN on_unknown INTEGER NOT NULL DEFAULT 0 CHECK(on_unknown BETWEEN 0 AND 2);
-- 1: it was given up, and nobody knows whether it was delivered.
ALTER TABLE spool_rcpt ADD COLUMN unknown INTEGER NOT NULL DEFAULT 0 CHECK(unknown BETWEEN 0 AND 1);

-- Messages that a courier ended over: offered alone from then on.
CREATE INDEX sm_ended ON spool_msg(id) WHERE ended > 0 AND done_us IS NULL;
