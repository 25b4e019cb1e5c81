-- db/vault.db, version 16: what version 15 did not have.

-- What providers tell of mail that they took ---------------------------------------------------------------------------

-- By which name an upstream knows what it took for a recipient. One message has several where it went out in several requests.
CREATE TABLE provider_ref(
  upstream  TEXT NOT NULL,
  reference TEXT NOT NULL,
  msg       INTEGER NOT NULL REFERENCES spool_msg ON DELETE CASCADE,
  num       INTEGER NOT NULL,
  told      INTEGER NOT NULL DEFAULT 0,                 -- bits: what was told of it
  PRIMARY KEY(upstream, reference, msg, num)
) STRICT, WITHOUT ROWID;
CREATE INDEX pr_msg ON provider_ref(msg);

-- Events that were taken: one that comes again means nothing.
CREATE TABLE hook_call(
  id      INTEGER PRIMARY KEY,
  hook    TEXT NOT NULL,
  call    TEXT NOT NULL,
  seen_us INTEGER NOT NULL,
  UNIQUE(hook, call)
) STRICT;
CREATE INDEX hc_seen ON hook_call(seen_us);

-- Events that came before what they are about was written down. They have addresses in them, and go when it was, or soon.
CREATE TABLE hook_early(
  id         INTEGER PRIMARY KEY,
  hook       TEXT NOT NULL,
  upstream   TEXT NOT NULL,
  reference  TEXT NOT NULL,
  event      TEXT NOT NULL,
  expires_us INTEGER NOT NULL
) STRICT;
CREATE INDEX he_reference ON hook_early(upstream, reference);
CREATE INDEX he_expires ON hook_early(expires_us);
CREATE INDEX sl_msg ON spool_lease(msg);
