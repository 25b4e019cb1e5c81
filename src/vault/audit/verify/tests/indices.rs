//! Indices that don't have what their tables have, or have it in another order: queries by them would not find it.

use super::*;

const P_VALUE: &str = "CREATE INDEX p_value ON personal(field, value, seq) WHERE value IS NOT NULL";
const E_TIME: &str = "CREATE INDEX e_time ON event(time_us)";

/// Fills an index as another one, and calls it again what it should be.
fn made_as(name: &str, made: &str, called: &str) -> String {
    let call = |sql: &str| {
        format!("PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = '{sql}' WHERE name = '{name}';")
    };
    format!("{} PRAGMA writable_schema = RESET; REINDEX {name}; {}", call(made), call(called))
}

/// Every value is there, but who looks for one doesn't find it.
const ROUND: &str = "CREATE TABLE kept AS SELECT * FROM personal;
    CREATE TABLE old AS SELECT sql FROM sqlite_master WHERE name = 'personal';
    DELETE FROM personal;
    PRAGMA writable_schema = ON;
    UPDATE sqlite_master SET sql = replace(sql, 'KEY(seq, field, n)', 'KEY(seq, field DESC, n)') WHERE name = 'personal';
    PRAGMA writable_schema = RESET;
    INSERT INTO personal SELECT * FROM kept;
    PRAGMA writable_schema = ON;
    UPDATE sqlite_master SET sql = (SELECT sql FROM old) WHERE name = 'personal';
    PRAGMA writable_schema = RESET;
    DROP TABLE kept; DROP TABLE old";

#[test]
fn an_index_that_hides_something_is_found_out() {
    let bench = Bench::grown();
    let p_value = |columns: &str, which: &str| {
        made_as("p_value", &format!("CREATE INDEX p_value ON personal({columns}) WHERE {which}"), P_VALUE)
    };
    for (what, sql) in [
        ("without its rows", p_value("field, value, seq", "value = 0")),
        ("of other values", p_value("field, commitment, seq", "value IS NOT NULL")),
        ("turned round", p_value("field, value, seq DESC", "value IS NOT NULL")),
        ("of events, turned round", made_as("e_time", "CREATE INDEX e_time ON event(time_us DESC)", E_TIME)),
        ("the values of an event, turned round", ROUND.to_owned()),
    ] {
        assert_eq!(bench.after(&sql), Verdict::Altered, "{what}");
    }
    let same = p_value("field, value, seq", "value IS NOT NULL");
    assert_eq!(bench.after(&same), Verdict::Sound, "as it should be");
}
