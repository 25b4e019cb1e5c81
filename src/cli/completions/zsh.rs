//! The completion of zsh: commands with what they do, and `_arguments` for the options of each.

use std::fmt::Write;

use super::{Opt, Place, Value};

pub fn script(places: &[Place]) -> String {
    // `path` is the shell's own.
    let mut out = String::from(
        "#compdef gatepost\n\
         # zsh completion of gatepost, made by `gatepost completions zsh`\n\
         _gatepost() {\n\
         \x20   local at='' i depth=0\n\
         \x20   local -a below\n\
         \x20   for ((i = 2; i < CURRENT; i++)); do\n\
         \x20       case $at/$words[i] in\n",
    );
    let below: Vec<&str> = places.iter().map(|place| place.path.as_str()).filter(|path| !path.is_empty()).collect();
    let _ = writeln!(out, "            ({}) at=$at/$words[i]; depth=$((i - 1)) ;;", below.join("|"));
    out.push_str(
        "        esac\n    done\n    \
         # What follows is told of the last command as if it were a program.\n    \
         words=(\"${(@)words[depth + 1,-1]}\")\n    \
         ((CURRENT -= depth))\n    \
         case $at in\n",
    );
    for place in places {
        let _ = writeln!(out, "        ('{}')", place.path);
        if !place.commands.is_empty() {
            out.push_str("            below=(\n");
            for (name, about) in &place.commands {
                let _ = writeln!(out, "                '{name}:{}'", about.replace('\'', "'\\''").replace(':', "\\:"));
            }
            out.push_str("            )\n            (( CURRENT == 2 )) && _describe -t commands command below\n");
        }
        out.push_str("            _arguments");
        for option in &place.options {
            let _ = write!(out, " \\\n                '{}'", specification(option));
        }
        if place.commands.is_empty() {
            let operand = place.operand.as_ref().map(|value| format!("*:{}", action(value)));
            if let Some(operand) = operand {
                let _ = write!(out, " \\\n                '{operand}'");
            }
        }
        out.push_str("\n            ;;\n");
    }
    out.push_str("    esac\n}\nif [[ $funcstack[1] == _gatepost ]]; then\n    _gatepost \"$@\"\nelse\n    compdef _gatepost gatepost\nfi\n");
    out
}

fn specification(option: &Opt) -> String {
    let repeats = if option.repeats { "*" } else { "" };
    let help = quoted(&option.help);
    match &option.value {
        Some(value) => format!("{repeats}--{}=[{help}]:{}", option.long, action(value)),
        None => format!("{repeats}--{}[{help}]", option.long),
    }
}

/// What a value is called, and how it is completed.
fn action(value: &Value) -> String {
    match value {
        Value::File => "file:_files".to_owned(),
        Value::Word(words) => format!("word:({})", words.join(" ")),
        Value::Text(name) => format!("{}: ", quoted(&name.to_lowercase())),
    }
}

/// What may stand in a description between single quotes: what has a meaning of its own there is written otherwise.
fn quoted(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\'' => "'\\''".to_owned(),
            ':' | '[' | ']' | '\\' => format!("\\{c}"),
            c => c.to_string(),
        })
        .collect()
}
