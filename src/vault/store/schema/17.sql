-- db/vault.db, version 17: what the versions before it did not have.

-- The spool: what a credential has sent, in the order of the ids, for whoever asks with its key ---------------------------

CREATE INDEX sm_mine ON spool_msg(principal, owner, msg_id) WHERE report = 0;
