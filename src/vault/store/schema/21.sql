-- db/vault.db: what the versions before it did not have.

-- What a start asks of all that waits, without reading the bodies: who has how much there, and which files hold some of them --------

CREATE INDEX sm_held ON spool_msg(principal, live, bytes) WHERE done_us IS NULL;
CREATE INDEX sb_segment ON spool_body(segment) WHERE segment IS NOT NULL;
