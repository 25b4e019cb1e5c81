-- The way back from version 20. Whose attempts weren't counted is told as scheduled again, as that version has it.

ALTER TABLE spool_rcpt DROP COLUMN tried;
