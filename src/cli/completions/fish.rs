//! The completion of fish: one line for each command and option, with the place where it can stand.

use std::fmt::Write;

use super::{Place, Value};

pub fn script(places: &[Place]) -> String {
    let below: Vec<&str> = places.iter().map(|place| place.path.as_str()).filter(|path| !path.is_empty()).collect();
    let mut out = String::from(
        "# fish completion of gatepost, made by `gatepost completions fish`\n\
         function __gatepost_at\n\
         \x20   set -l at ''\n\
         \x20   for word in (commandline -opc)[2..-1]\n\
         \x20       switch \"$at/$word\"\n",
    );
    let _ = writeln!(out, "            case {}", below.join(" "));
    out.push_str(
        "                set at \"$at/$word\"\n        end\n    end\n    test \"$at\" = \"$argv[1]\"\nend\n\
         complete -c gatepost -f\n",
    );
    for place in places {
        let at = format!("complete -c gatepost -n '__gatepost_at \"{}\"'", place.path);
        for (name, about) in &place.commands {
            let _ = writeln!(out, "{at} -a {name} -d {}", quoted(about));
        }
        match &place.operand {
            Some(Value::Word(words)) => {
                let _ = writeln!(out, "{at} -a {}", quoted(&words.join(" ")));
            }
            Some(Value::File) => {
                let _ = writeln!(out, "{at} -F");
            }
            _ => {}
        }
        for option in &place.options {
            let short = option.short.map_or_else(String::new, |short| format!(" -s {short}"));
            let takes = match &option.value {
                None => String::new(),
                Some(Value::File) => " -r -F".to_owned(),
                Some(Value::Word(words)) => format!(" -x -a {}", quoted(&words.join(" "))),
                Some(Value::Text(_)) => " -x".to_owned(),
            };
            let _ = writeln!(out, "{at}{short} -l {}{takes} -d {}", option.long, quoted(&option.help));
        }
    }
    out
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
