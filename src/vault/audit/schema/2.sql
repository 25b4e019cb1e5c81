-- The auditors' files, version 2: what version 1 did not have. A month that was closed before stays as it is.

-- Anchors: which head was kept where else. proof: the cosignature of a witness (it is in the note of that size, too), the
-- id of a mail.
CREATE TABLE anchor(name TEXT NOT NULL, size INTEGER NOT NULL, time_us INTEGER NOT NULL, proof TEXT, PRIMARY KEY(name, size)) WITHOUT ROWID;
CREATE VIEW anchor_v1 AS SELECT name, size,
  strftime('%Y-%m-%dT%H:%M:%S', time_us/1000000, 'unixepoch') || '.' || substr('000000' || (time_us % 1000000), -6) || 'Z' AS time,
  time_us, proof FROM anchor;

-- Erasures: what the events audit.redact and audit.prune took out of the log, a row for each range of events.
CREATE TABLE erasure(
  seq INTEGER NOT NULL, n INTEGER NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, what TEXT NOT NULL,
  ground TEXT NOT NULL, PRIMARY KEY(seq, n)) WITHOUT ROWID;
CREATE VIEW erasure_v1 AS SELECT e.seq,
  strftime('%Y-%m-%dT%H:%M:%S', e.time_us/1000000, 'unixepoch') || '.' || substr('000000' || (e.time_us % 1000000), -6) || 'Z' AS time,
  e.event, e.actor, x.first_seq, x.last_seq, x.what, x.ground
  FROM erasure x JOIN event e ON e.seq = x.seq;
