//! Whether Turnstile can be asked: what `check --connect` and `doctor` find out of it, by the processes that would ask.

use std::path::Path;

use super::control::{self, strange};
use crate::ipc::admin::{Command, Response};
use crate::ipc::turnstile::Answer;
use crate::vault::audit::visible::visible;

/// Has the service there ask of a token that is none. What is said of it.
///
/// Errors: nobody can be asked, or the secret is not what it should be; in words.
pub fn ask(runtime: &Path) -> Result<String, String> {
    match control::ask(runtime, Command::Turnstile).map_err(String::from)? {
        Some(Response::Turnstile(answer)) => judge(&answer),
        Some(Response::Refused { reason }) => Err(reason),
        Some(_) => Err(strange()),
        None => Err(control::not_running(runtime)),
    }
}

fn judge(answer: &Answer) -> Result<String, String> {
    match answer {
        Answer::Refused { .. } => Ok("it knows the secret, and refused a token that is none".to_owned()),
        Answer::Solved { .. } => {
            Err("it took a token that is none: secret_file holds a secret for tests, with which any token is good"
                .to_owned())
        }
        Answer::Unknown { codes } => {
            let codes = visible(codes);
            Err(format!(
                "it does not know the secret ({codes}): put the site's secret from its dashboard into secret_file"
            ))
        }
        Answer::Failed { reason } => Err(format!("it can't be asked: {}", visible(reason))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_secret_that_is_known_and_for_no_tests_is_good() {
        let refused = Answer::Refused { codes: "invalid-input-response".into() };
        assert!(judge(&refused).is_ok());
        for (answer, why) in [
            (Answer::Unknown { codes: "invalid-input-secret".into() }, "invalid-input-secret"),
            (Answer::Solved { hostname: String::new(), action: String::new() }, "secret for tests"),
            (Answer::Failed { reason: "its courier is away".into() }, "courier is away"),
        ] {
            let said = judge(&answer).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }
}
