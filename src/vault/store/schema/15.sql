-- db/vault.db, version 15: what version 14 did not have.

-- The spool: what a message's own client may be told of -----------------------------------------------------------------

-- How many of its recipients the message named, which are the first of them; those behind are copies, of which nobody is told.
-- NULL: its mail was redirected, or it was kept before this was known.
ALTER TABLE spool_msg ADD COLUMN named INTEGER CHECK(named BETWEEN 0 AND 1000000);

-- Which credential of that name has sent it: when that was made, 0 for one of the configuration. NULL: nobody knows.
ALTER TABLE spool_msg ADD COLUMN owner INTEGER;

-- When a recipient came to an end. NULL: not yet, or before this was known.
ALTER TABLE spool_rcpt ADD COLUMN ended_us INTEGER;
