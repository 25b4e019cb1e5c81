//! A hash that was made elsewhere: what it must be to stand for a secret here.

use argon2::password_hash::phc::PasswordHash;

/// The most memory that checking one password may take, in KiB, because a thread keeps what it once needed. Three times of
/// what ours take.
pub const MOST_MEMORY: u32 = 64 * 1024;
/// The least memory, in KiB: what OWASP has for as many passes as it likes. A hash that costs nothing keeps nothing secret.
const LEAST_MEMORY: u32 = 7 * 1024;
/// The most passes: a hash that takes seconds would stop all other logins.
const MOST_PASSES: u32 = 16;

/// A whole argon2id PHC string. The text is never repeated: it may be a password in the wrong place.
///
/// Errors: what is wrong with it.
pub fn check(text: &str) -> Result<(), &'static str> {
    let hash = PasswordHash::new(text).map_err(|_| "is not a PHC string; one begins with $argon2id$v=19$m=...")?;
    if hash.algorithm.as_str() != "argon2id" {
        return Err("is not argon2id; nothing else is accepted");
    }
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err("lacks its salt or its end: it was cut short");
    }
    match argon2::Params::try_from(&hash) {
        Ok(parameters) if parameters.m_cost() > MOST_MEMORY => {
            Err("asks for more than 64 MiB of memory for each login")
        }
        Ok(parameters) if parameters.m_cost() < LEAST_MEMORY => Err(
            "takes less than 7 MiB of memory (m=7168): too cheap to guess; hash it anew, as gatepost credential hash does",
        ),
        Ok(parameters) if parameters.t_cost() > MOST_PASSES => Err("asks for more than 16 passes for each login"),
        Ok(_) => Ok(()),
        Err(_) => Err("has parameters that argon2id can't have"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_argon2id_hashes_are_taken() {
        const GOOD: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$\
                            cmFuZG9tIG9jdGV0cyBvZiBhIGhhc2ggLSAzMiBsb25n";
        assert_eq!(check(GOOD), Ok(()));
        assert_eq!(check(&GOOD.replace("m=19456", "m=7168")), Ok(()));
        let bad = [
            "hunter2",
            "$2b$12$abcdefghijklmnopqrstuv",
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA",
            &GOOD.replace("argon2id", "argon2i"),
            &GOOD.replace("m=19456", "m=4194304"),
            &GOOD.replace("m=19456", "m=65537"),
            &GOOD.replace("m=19456", "m=7167"),
            &GOOD.replace("t=2", "t=17"),
            &GOOD.replace("p=1", "p=0"),
        ];
        for text in bad {
            let why = check(text).unwrap_err();
            assert!(!why.contains("hunter2"), "{text}");
        }
    }
}
