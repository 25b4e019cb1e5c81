//! JSON lines, the reference: all that the leaf hashes are made from, and the tree around them, so that nothing else is
//! needed to verify it but the log's key.
//!
//! The first line says where it begins: `first`, and `base`, the roots of the perfect subtrees before that, largest first.
//! Then an event a line, and behind the last event under each signed head a line with that `checkpoint`. The last line is
//! the head that the export was taken under; when that has more events in it, `rest` has the subtrees that lead there, each
//! with its height, to be pushed onto the tree in order.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::{Range, Way};
use crate::vault::audit::archive::{Archive, Head, rest};
use crate::vault::audit::json;
use crate::vault::audit::month_file::hex;
use crate::vault::audit::verify::Fault;
use crate::vault::audit::visible::visible_json;

/// The form of these lines; another number when an old reader would misunderstand them.
const FORM: &str = "audit-jsonl/1";

pub fn write(mut out: impl Write, archive: &Archive, range: &Range, way: &mut Way) -> Result<io::Result<()>, Fault> {
    let &Range { from, to, ref head } = range;
    let mut prover = archive.prover();
    let base: Vec<String> = prover.frontier_at(from)?.peaks.iter().map(|peak| hex(peak)).collect();
    let rest: Vec<Value> =
        rest(&mut prover, to, head.size)?.iter().map(|(height, hash)| json!([height, hex(hash)])).collect();
    let mut heads = archive.heads(from, to)?.into_iter().peekable();
    let mut done = line(&mut out, &json!({ "form": FORM, "origin": archive.origin, "first": from, "base": base }));
    archive.each(from, to, |rows| {
        for row in rows {
            if done.is_ok() {
                done = line(&mut out, &json::object(row));
            }
            while let Some(head) = heads.next_if(|head| head.size <= row.seq + 1) {
                // The last line is its own.
                if done.is_ok() && head.size < to {
                    done = line(&mut out, &checkpoint(&head));
                }
            }
        }
        way.at(rows.last().map_or(to, |row| row.seq))
    })?;
    let mut last = checkpoint(head);
    if let (false, Some(last)) = (rest.is_empty(), last.as_object_mut()) {
        last.insert("rest".to_owned(), Value::from(rest));
    }
    Ok(done.and_then(|()| line(&mut out, &last)).and_then(|()| out.flush()))
}

fn checkpoint(head: &Head) -> Value {
    json!({ "checkpoint": head.note })
}

fn line(out: &mut impl Write, value: &Value) -> io::Result<()> {
    writeln!(out, "{}", visible_json(&value.to_string()))
}
