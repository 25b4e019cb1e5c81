//! What a figure was to be, and whether it is. It is said and never asserted: a machine that others use proves nothing.

pub fn at_most(what: &str, figure: f64, most: f64) {
    say(what, figure, "at most", most, figure <= most);
}

pub fn at_least(what: &str, figure: f64, least: f64) {
    say(what, figure, "at least", least, figure >= least);
}

fn say(what: &str, figure: f64, word: &str, aim: f64, reached: bool) {
    let reached = if reached { "reached" } else { "not reached" };
    println!("AIM {what}: {figure:.2}, {word} {aim}: {reached}");
}
