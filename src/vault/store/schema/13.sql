-- db/vault.db, version 13: what the versions before it did not have.

-- The spool: outcomes that nobody knew --------------------------------------------------------------------------------

-- 1: an attempt ended without anybody's knowing whether it delivered, whatever came after it. spool_rcpt.unknown is of the last
-- attempt alone. It is never taken back.
ALTER TABLE spool_rcpt ADD COLUMN doubt INTEGER NOT NULL DEFAULT 0 CHECK(doubt BETWEEN 0 AND 1);
UPDATE spool_rcpt SET doubt = 1 WHERE unknown = 1 AND state <> 1;
