-- db/vault.db, version 18: what the versions before it did not have.

-- The spool: what a client says of a message beside it ------------------------------------------------------------------

-- Tags, metadata and what its own client is told of it, as JSON (ipc::label). NULL: it said nothing, by SMTP and before this was
-- known.
ALTER TABLE spool_msg ADD COLUMN label TEXT;

-- What happened to recipients of whom their own client is told, in order: one row each time, and gone with the message ---------

CREATE TABLE feed(
  id        INTEGER PRIMARY KEY,                        -- when, in microseconds, and more where it would not be the last
  msg       INTEGER NOT NULL REFERENCES spool_msg ON DELETE CASCADE,
  n         INTEGER NOT NULL,
  principal TEXT NOT NULL,                              -- whose it is, as spool_msg has it
  owner     INTEGER NOT NULL,
  kind      INTEGER NOT NULL CHECK(kind BETWEEN 1 AND 8),
  attempts  INTEGER NOT NULL,
  next_us   INTEGER,
  code      INTEGER,
  enhanced  TEXT,
  said      TEXT,
  doubt     INTEGER NOT NULL
) STRICT;
CREATE INDEX feed_mine ON feed(principal, owner);       -- the id stands behind it
CREATE INDEX feed_msg ON feed(msg);
