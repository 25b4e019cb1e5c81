-- db/vault.db, version 12: what version 11 did not have.

-- The spool: messages whose senders wait ------------------------------------------------------------------------------

-- An intent: it has no body, and is nobody's to deliver but its sender's. It is here so that what became of it can't be lost.
ALTER TABLE spool_msg ADD COLUMN live INTEGER NOT NULL DEFAULT 0 CHECK(live BETWEEN 0 AND 1);
