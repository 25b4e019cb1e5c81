-- db/vault.db, version 7: what version 6 did not have.

-- The spool: who may have a message -----------------------------------------------------------------------------------

-- spool_rcpt.unknown of one who is leased says the same from when the message may be delivered to him, and the lease says what
-- becomes of him if nobody tells more. Until now a lease spoke of all who were on it.
UPDATE spool_rcpt SET unknown = 0 WHERE state = 1;
UPDATE spool_rcpt SET unknown = 1 WHERE job IN (SELECT job FROM spool_lease WHERE on_unknown > 0);
