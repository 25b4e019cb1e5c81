//! The calls of `gatepost` in what a page shows, word by word as a shell would take them.

/// The words of each call in a text, without its redirections. A quote ends with its line.
pub fn calls(text: &str) -> Vec<Vec<String>> {
    let joined = text.replace("\\\n", " ");
    let commands = joined.lines().flat_map(commands);
    commands.filter_map(|words| Some(words[called(&words)? + 1..].to_vec())).collect()
}

/// Where the program stands, if that is what is called.
fn called(words: &[String]) -> Option<usize> {
    let at = words.iter().position(|word| word == "gatepost" || word.ends_with("/gatepost"))?;
    words[..at].iter().all(|word| leads_in(word)).then_some(at)
}

/// What may stand before a program that is called: a prompt, who calls it, and a variable.
fn leads_in(word: &str) -> bool {
    let words =
        ["$", "#", "sudo", "doas", "exec", "env", "if", "while", "until", "!", "time", "then", "do", "else", "{"];
    words.contains(&word) || word.contains('=')
}

/// The simple commands of a line.
fn commands(line: &str) -> Vec<Vec<String>> {
    let (mut all, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut is_target = false;
    let mut chars = line.trim_start().chars().peekable();
    // A prompt, and no comment.
    if line.trim_start().starts_with("# gatepost") {
        chars.next();
    }
    let mut quote = None;
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some('"') | None, '\\') => word.get_or_insert_default().extend(chars.next()),
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ' | '\t' | ';' | '|' | '&' | '(' | ')' | '<' | '>') => {
                let ended = word.take();
                let is_number = ended.as_ref().is_some_and(|word| word.chars().all(|c| c.is_ascii_digit()));
                let has_ended = ended.is_some();
                // The 2 of `2>` is no word, and neither is what stands behind.
                words.extend(ended.filter(|_| !(is_target || is_number && ['<', '>'].contains(&c))));
                match c {
                    ' ' | '\t' => is_target &= !has_ended,
                    '<' | '>' => {
                        is_target = true;
                        chars.next_if_eq(&'&');
                    }
                    _ => {
                        is_target = false;
                        all.push(std::mem::take(&mut words));
                    }
                }
            }
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word.filter(|_| !is_target));
    all.push(words);
    all
}
