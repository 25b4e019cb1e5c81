-- db/vault.db: what the versions before it did not have.

-- Whether it was on its way to an upstream once. Until then what is due later was scheduled; from then on it waits, also where an
-- attempt came to nothing through no fault of its message and isn't counted ------------------------------------------------

ALTER TABLE spool_rcpt ADD COLUMN tried INTEGER NOT NULL DEFAULT 0;
UPDATE spool_rcpt SET tried = 1 WHERE attempts > 0 OR job IS NOT NULL OR code IS NOT NULL OR said IS NOT NULL;
