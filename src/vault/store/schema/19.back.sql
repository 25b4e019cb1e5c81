-- The way back from version 19. What operators were told is wrong they may be told again, and a day's digest may come twice.

DROP TABLE digest;
DROP TABLE alert;
