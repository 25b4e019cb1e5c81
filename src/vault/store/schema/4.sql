-- db/vault.db, version 4: what version 3 did not have.

-- Credentials ---------------------------------------------------------------------------------------------------------

-- Keys that were derived from the secret, for SCRAM-SHA-256. As secret as the hash.
ALTER TABLE credential_secret ADD COLUMN scram TEXT;
