//! The completion of bash: at each place a list of words, and behind an option what it takes.

use std::fmt::Write;

use super::{Opt, Place, Value};

pub fn script(places: &[Place]) -> String {
    let mut out = String::from(
        "# bash completion of gatepost, made by `gatepost completions bash`\n\
         _gatepost() {\n\
         \x20   local at='' cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words='' files='' i\n\
         \x20   for ((i = 1; i < COMP_CWORD; i++)); do\n\
         \x20       case $at/${COMP_WORDS[i]} in\n",
    );
    let below: Vec<&str> = places.iter().map(|place| place.path.as_str()).filter(|path| !path.is_empty()).collect();
    let _ = writeln!(out, "            {}) at=$at/${{COMP_WORDS[i]}} ;;", below.join(" | "));
    out.push_str(
        "        esac\n    done\n    \
         # `--option=value` comes as three words.\n    \
         if [[ $cur == = ]]; then cur=''; elif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi\n    \
         case $at in\n",
    );
    for place in places {
        let _ = writeln!(out, "        '{}')", place.path);
        let takers = |wanted: fn(&Value) -> bool| -> Vec<String> {
            place.options.iter().filter(|option| option.value.as_ref().is_some_and(wanted)).map(names).collect()
        };
        let _ = writeln!(out, "            case $prev in");
        for option in &place.options {
            if let Some(Value::Word(words)) = &option.value {
                let _ = writeln!(out, "                {}) words='{}' ;;", names(option), words.join(" "));
            }
        }
        for (list, then) in [
            (takers(|value| matches!(value, Value::File)), "files=yes"),
            (takers(|value| matches!(value, Value::Text(_))), "return"),
        ] {
            if !list.is_empty() {
                let _ = writeln!(out, "                {}) {then} ;;", list.join(" | "));
            }
        }
        let _ = writeln!(out, "                *)\n                    words='{}'", here(place).join(" "));
        if matches!(place.operand, Some(Value::File)) {
            out.push_str("                    [[ $cur == -* ]] || files=yes\n");
        }
        out.push_str("                    ;;\n            esac\n            ;;\n");
    }
    out.push_str(
        "    esac\n    \
         # Line by line, and not as words of a command: a file may be called `*`.\n    \
         mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n    \
         if [[ -n $files ]]; then\n        \
         mapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY < <(compgen -f -- \"$cur\")\n        \
         compopt -o filenames 2> /dev/null\n    \
         fi\n\
         }\n\
         complete -F _gatepost gatepost\n",
    );
    out
}

/// The words that can come next.
fn here(place: &Place) -> Vec<String> {
    let commands = place.commands.iter().map(|(name, _)| name.clone());
    let operands = match &place.operand {
        Some(Value::Word(words)) => words.clone(),
        _ => Vec::new(),
    };
    commands.chain(operands).chain(place.options.iter().map(|option| format!("--{}", option.long))).collect()
}

fn names(option: &Opt) -> String {
    option.short.map_or_else(|| format!("--{}", option.long), |short| format!("--{} | -{short}", option.long))
}
