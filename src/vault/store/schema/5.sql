-- db/vault.db, version 5: what version 4 did not have.

-- The spool: turns ----------------------------------------------------------------------------------------------------

-- Who sent it: credentials take turns within a lane. 1: it lives shortly, and goes first.
ALTER TABLE spool_rcpt ADD COLUMN turn TEXT NOT NULL DEFAULT '';
ALTER TABLE spool_rcpt ADD COLUMN urgent INTEGER NOT NULL DEFAULT 0 CHECK(urgent BETWEEN 0 AND 1);
UPDATE spool_rcpt SET turn = (SELECT principal FROM spool_msg WHERE id = msg) WHERE state < 2;
CREATE INDEX sr_turn ON spool_rcpt(lane, urgent, turn, next_us, msg) WHERE state = 0 AND held = 0;

-- How many couriers ended while they had it.
ALTER TABLE spool_msg ADD COLUMN ended INTEGER NOT NULL DEFAULT 0;

-- Upstreams that nothing is offered to until somebody says so.
CREATE TABLE route_pause(upstream TEXT PRIMARY KEY, since_us INTEGER NOT NULL, actor TEXT NOT NULL) STRICT, WITHOUT ROWID;
