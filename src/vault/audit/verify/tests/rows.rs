//! Rows of personal values that nobody wrote: they have the keys of the leaf, and show something else, or nothing.

use super::*;

/// What is shown of a value, in a row of its own.
fn split(field: &str, name: &str) -> String {
    format!(
        "INSERT INTO personal SELECT seq, {name}, 0, shown_salt, shown, shown_commitment, NULL, NULL, NULL FROM personal
           WHERE field = '{field}' AND shown IS NOT NULL;
         UPDATE personal SET shown = NULL, shown_salt = NULL, shown_commitment = NULL WHERE field = '{field}';"
    )
}

/// A second row of a value, before which the first one can be forged.
fn double(field: &str, name: &str, forged: &str) -> String {
    format!(
        "INSERT INTO personal SELECT seq, {name}, 9, salt, value, commitment, shown, shown_salt, shown_commitment
           FROM personal WHERE seq = 5 AND field = '{field}';
         UPDATE personal SET {forged} WHERE seq = 5 AND field = '{field}' AND n = 0;"
    )
}

#[test]
fn a_value_stands_in_the_one_row_that_is_its_own() {
    let bench = Bench::grown();
    for sql in [
        split("client_ip", "field || '.shown'"),
        split("mail_from", "field || '.shown'"),
        split("rcpt_to", "field || '[' || n || '].shown'"),
        double("account", "field", "value = 'other', salt = randomblob(16)"),
        double("client_ip", "field", "shown = '203.0.113.0/24', shown_salt = randomblob(16)"),
        double("rcpt_to", "field || '[0]'", "shown = '***@good.example', shown_salt = randomblob(16)"),
        "UPDATE personal SET field = 'rcpt_to[0]' WHERE field = 'rcpt_to'".to_owned(),
        "UPDATE personal SET n = 1 WHERE seq = 5 AND field = 'account'".to_owned(),
        "UPDATE personal SET n = '' WHERE seq = 5 AND field = 'account'".to_owned(),
        "UPDATE personal SET n = x'30' WHERE seq = 5 AND field = 'account'".to_owned(),
        "UPDATE personal SET n = 'x' WHERE seq = 5 AND field = 'rcpt_to'".to_owned(),
        "UPDATE personal SET field = CAST(field AS BLOB) WHERE seq = 5 AND field = 'account'".to_owned(),
    ] {
        assert_eq!(bench.after(&sql), Verdict::Altered, "{sql}");
    }
}

#[test]
fn of_several_faults_the_first_in_the_log_is_told_and_what_cant_be_read_comes_behind_what_was() {
    let changed = |seq: u32| format!("UPDATE event SET component = 'other' WHERE seq = {seq};");
    let unread = |seq: u32| format!("UPDATE event SET leaf_hash = 'none' WHERE seq = {seq};");
    let value = |seq: u32| format!("UPDATE personal SET value = 'other' WHERE seq = {seq} AND field = 'account';");
    let wrong = |seq: u32| format!("event {seq} isn't what its hash was made from");
    for (sql, told) in [
        (changed(300) + &unread(302), wrong(300)),
        (changed(100) + &unread(600), wrong(100)),
        (unread(300) + &changed(302), "a row isn't what is written there".to_owned()),
        (value(300) + &changed(301), "account of event 300 isn't the value that was committed to".to_owned()),
        (value(301) + &changed(300), wrong(300)),
        (value(300) + &changed(300), wrong(300)),
        ("DELETE FROM event WHERE seq = 255;".to_owned() + &changed(254), wrong(254)),
        (
            "DELETE FROM event WHERE seq = 255;".to_owned() + &changed(256),
            "personal value belongs to event 255".to_owned(),
        ),
    ] {
        let bench = Bench::grown();
        bench.tamper(&sql);
        let fault = bench.verify().unwrap_err();
        assert_eq!(fault.verdict, Verdict::Altered, "{sql}");
        assert!(fault.what.contains(&told), "{sql} {fault}");
    }
}
