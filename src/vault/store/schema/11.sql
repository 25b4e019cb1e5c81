-- db/vault.db, version 11: what version 10 did not have.

-- Webhooks: what they are to be told ----------------------------------------------------------------------------------

-- The webhook of a message, by what its credential said at the dot. Its failures are told by it instead of by a report.
CREATE TABLE spool_webhook(
  msg     INTEGER PRIMARY KEY REFERENCES spool_msg ON DELETE CASCADE,
  webhook TEXT NOT NULL,
  instead INTEGER NOT NULL CHECK(instead BETWEEN 0 AND 1)
) STRICT;

-- Events that a webhook has not taken yet. It has addresses in it: a row goes when it was taken, or was given up.
CREATE TABLE webhook_event(
  id         INTEGER PRIMARY KEY,
  event_id   BLOB NOT NULL UNIQUE CHECK(length(event_id) = 16),
  webhook    TEXT NOT NULL,
  msg_id     BLOB NOT NULL CHECK(length(msg_id) = 16),
  kind       TEXT NOT NULL,
  body       TEXT NOT NULL,
  instead    INTEGER NOT NULL CHECK(instead BETWEEN 0 AND 1), -- 1: nothing else tells of it
  expires_us INTEGER NOT NULL,
  attempts   INTEGER NOT NULL DEFAULT 0,
  next_us    INTEGER NOT NULL
) STRICT;
CREATE INDEX we_due ON webhook_event(webhook, next_us, id);
CREATE INDEX we_oldest ON webhook_event(webhook, instead, id);
CREATE INDEX we_expires ON webhook_event(expires_us);
CREATE INDEX we_msg ON webhook_event(msg_id);

-- Recipients to whom the gate itself found that the message can't be sent: no upstream has refused them.
CREATE TABLE spool_unsendable(
  msg INTEGER NOT NULL REFERENCES spool_msg ON DELETE CASCADE,
  num INTEGER NOT NULL,
  PRIMARY KEY(msg, num)
) STRICT, WITHOUT ROWID;

-- Recipients whose failure is told to the webhook of their message by an event, which waits or was taken. A report by that webhook
-- is nothing more. When the event is dropped, its row here goes, too.
CREATE TABLE spool_told(
  msg      INTEGER NOT NULL REFERENCES spool_msg ON DELETE CASCADE,
  num      INTEGER NOT NULL,
  event_id BLOB NOT NULL UNIQUE CHECK(length(event_id) = 16),
  PRIMARY KEY(msg, num)
) STRICT, WITHOUT ROWID;
