-- db/vault.db, version 18: what the versions before it did not have.

-- The spool: what a client says of a message beside it ------------------------------------------------------------------

-- Tags, metadata and what its own client is told of it, as JSON (ipc::label). NULL: it said nothing, by SMTP and before this was
-- known.
ALTER TABLE spool_msg ADD COLUMN label TEXT;
