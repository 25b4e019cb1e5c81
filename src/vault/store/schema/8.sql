-- db/vault.db, version 8: what version 7 did not have.

-- Upstreams with a pace by the day: how many messages each was given in which ten minutes (since 1970). What is older than a
-- day goes.
CREATE TABLE upstream_pace(
  upstream TEXT NOT NULL, slot INTEGER NOT NULL, messages INTEGER NOT NULL CHECK(messages >= 0),
  PRIMARY KEY(upstream, slot)
) STRICT, WITHOUT ROWID;
