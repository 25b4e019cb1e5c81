-- The way back from version 19. What operators were told is wrong they may be told again, and a day's digest may come twice.

DROP TABLE digest;
DROP TABLE alert;

-- What no credential asks for (schema.rs sees to that) may be said as such; the version before knows no word for it.
UPDATE credential SET policy = json_remove(policy, '$.turnstile') WHERE json_type(policy, '$.turnstile') = 'null';
UPDATE credential SET policy = json_remove(policy, '$.form') WHERE json_type(policy, '$.form') = 'null';
UPDATE credential SET policy = json_remove(policy, '$.test') WHERE json_type(policy, '$.test') = 'false';

-- How often a message was given another time: the version before finds no meaning in that.
UPDATE spool_msg SET flags = flags % 128 WHERE flags > 127;

DELETE FROM meta WHERE key = 'goes-back';
