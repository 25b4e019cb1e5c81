-- The way back from version 21.

DROP INDEX sm_held;
DROP INDEX sb_segment;
