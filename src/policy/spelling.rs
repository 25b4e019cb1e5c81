//! What may have been meant by a word that is none of those known, in files and commands alike.

/// The one of those known here that may have been meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let near = known.into_iter().filter_map(|other| {
        // A third of the letters wrong is a slip of the hand; more is another word.
        let most = 1 + word.len().max(other.len()) / 4;
        // Each letter that one has more is wrong: what is that much longer need not be looked at.
        if length.abs_diff(other.chars().count()) > most {
            return None;
        }
        let distance = distance(word, other);
        (distance <= most).then_some((distance, other))
    });
    near.min().map(|(_, other)| other)
}

/// That, or all there are, in words.
pub fn suggestion(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(other) => format!("did you mean {other:?}?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// Letters to insert, drop, change or swap with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            table[i][j] = match (i, j) {
                (0, n) | (n, 0) => n,
                _ => {
                    let changed = table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                    let swap = if swapped { table[i - 2][j - 2] + 1 } else { usize::MAX };
                    changed.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1).min(swap)
                }
            };
        }
    }
    table[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_gets_a_suggestion_and_another_word_the_list() {
        let known = ["address", "protocol", "zone"];
        for slip in ["adress", "adddress", "addres", "addrses", "Address"] {
            assert_eq!(suggestion(slip, &known), "did you mean \"address\"?", "{slip}");
        }
        assert_eq!(suggestion("colour", &known), "known here: address, protocol, zone");
    }

    #[test]
    fn the_nearest_is_found_among_words_of_other_lengths() {
        let known = ["app", "billing", "a-credential-with-a-very-long-name"];
        assert_eq!(nearest("ap", known), Some("app"));
        assert_eq!(nearest("biling", known), Some("billing"));
        assert_eq!(nearest("shop", known), None);
        assert_eq!(nearest(&"a".repeat(5000), known), None);
        assert_eq!(nearest("app", []), None);
    }
}
