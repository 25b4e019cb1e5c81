-- db/vault.db: what the versions before it did not have.

-- What operators were told is wrong, as long as it is: a restart tells nobody again ---------------------------------------

CREATE TABLE alert(
  kind     TEXT NOT NULL,                               -- a word of a closed list (vault::alerts::sign)
  subject  TEXT NOT NULL,                               -- an upstream, a credential, ...; empty where there is one
  since_us INTEGER NOT NULL,
  told_us  INTEGER NOT NULL,                            -- the last time
  text     TEXT NOT NULL,
  PRIMARY KEY(kind, subject)
) STRICT, WITHOUT ROWID;

-- The last day whose digest was sent: days since 1970, in UTC. One row at most.
CREATE TABLE digest(
  one INTEGER PRIMARY KEY CHECK(one = 1),
  day INTEGER NOT NULL
) STRICT;
