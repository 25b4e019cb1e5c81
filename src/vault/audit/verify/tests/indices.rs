//! Indices that don't have what their tables have, or have it in another order: queries by them would not find it.

use super::*;

#[test]
fn an_index_that_hides_something_is_found_out() {
    let bench = Bench::grown();
    for (what, sql) in [
        (
            // Its rows go from what queries find; the table keeps them.
            "empty an index",
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_master SET sql = 'CREATE INDEX p_value ON personal(field, value, seq) WHERE value = 0'
               WHERE name = 'p_value'; PRAGMA writable_schema = RESET; REINDEX p_value;
             PRAGMA writable_schema = ON;
             UPDATE sqlite_master SET sql = 'CREATE INDEX p_value ON personal(field, value, seq) WHERE value IS NOT NULL'
               WHERE name = 'p_value'",
        ),
        (
            // As many rows as before, under other names.
            "turn an index to other values",
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_master SET sql = 'CREATE INDEX p_value ON personal(field, commitment, seq) WHERE value IS NOT NULL'
               WHERE name = 'p_value'; PRAGMA writable_schema = RESET; REINDEX p_value;
             PRAGMA writable_schema = ON;
             UPDATE sqlite_master SET sql = 'CREATE INDEX p_value ON personal(field, value, seq) WHERE value IS NOT NULL'
               WHERE name = 'p_value'",
        ),
        (
            "turn an index round",
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_master SET sql = 'CREATE INDEX p_value ON personal(field, value, seq DESC) WHERE value IS NOT NULL'
               WHERE name = 'p_value'; PRAGMA writable_schema = RESET; REINDEX p_value;
             PRAGMA writable_schema = ON;
             UPDATE sqlite_master SET sql = 'CREATE INDEX p_value ON personal(field, value, seq) WHERE value IS NOT NULL'
               WHERE name = 'p_value'",
        ),
        (
            "turn the index of events round",
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_master SET sql = 'CREATE INDEX e_time ON event(time_us DESC)' WHERE name = 'e_time';
             PRAGMA writable_schema = RESET; REINDEX e_time;
             PRAGMA writable_schema = ON;
             UPDATE sqlite_master SET sql = 'CREATE INDEX e_time ON event(time_us)' WHERE name = 'e_time'",
        ),
        (
            // Every value is there, but looked for it isn't found.
            "turn the values of an event round",
            "CREATE TABLE kept AS SELECT * FROM personal;
             CREATE TABLE old AS SELECT sql FROM sqlite_master WHERE name = 'personal';
             DELETE FROM personal;
             PRAGMA writable_schema = ON;
             UPDATE sqlite_master SET sql = replace(sql, 'KEY(seq, field, n)', 'KEY(seq, field DESC, n)')
               WHERE name = 'personal'; PRAGMA writable_schema = RESET;
             INSERT INTO personal SELECT * FROM kept;
             PRAGMA writable_schema = ON;
             UPDATE sqlite_master SET sql = (SELECT sql FROM old) WHERE name = 'personal';
             PRAGMA writable_schema = RESET;
             DROP TABLE kept; DROP TABLE old",
        ),
    ] {
        assert_eq!(bench.after(sql), Verdict::Altered, "{what}");
    }
}
