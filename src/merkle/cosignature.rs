//! Cosignatures: a witness says that a head extends all those it saw before (C2SP tlog-cosignature, Ed25519).

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};

use super::note::{self, SIGNATURE};

/// Signature type of a timestamped Ed25519 cosignature (C2SP signed-note, "Signature types").
const COSIGNATURE_TYPE: u8 = 4;

/// The public half of a witness' key, and the name it signs under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigner {
    pub name: String,
    key: [u8; 32],
}

/// What a line behind a checkpoint is to this cosigner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Another key's: nothing is known of it.
    Strange,
    /// It claims to be this key's and isn't.
    Forged,
    /// The head was the largest that it had seen then, in seconds since 1970.
    Seen(u64),
}

impl Cosigner {
    /// What a signature line says about the text of a checkpoint, which ends in a newline.
    pub fn judge(&self, text: &str, line: &str) -> Said {
        let Some((name, encoded)) = line.strip_prefix(SIGNATURE).and_then(|rest| rest.split_once(' ')) else {
            return Said::Strange;
        };
        let Ok(octets) = STANDARD.decode(encoded) else { return Said::Strange };
        let Some((id, rest)) = octets.split_first_chunk::<4>() else { return Said::Strange };
        if name != self.name || *id != self.id() {
            return Said::Strange;
        }
        let Some((time, signature)) = rest.split_first_chunk::<8>() else { return Said::Forged };
        let time = u64::from_be_bytes(*time);
        let message = format!("cosignature/v1\ntime {time}\n{text}");
        let key = UnparsedPublicKey::new(&ED25519, self.key);
        match key.verify(message.as_bytes(), signature) {
            Ok(()) if i64::try_from(time).is_ok() => Said::Seen(time),
            _ => Said::Forged,
        }
    }

    fn id(&self) -> [u8; 4] {
        note::key_id(&self.name, COSIGNATURE_TYPE, &self.key)
    }
}

/// The verifier key as text: `name+id+key`.
impl fmt::Display for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&note::write_vkey(&self.name, COSIGNATURE_TYPE, &self.key))
    }
}

impl FromStr for Cosigner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match note::read_vkey(text) {
            Some((name, COSIGNATURE_TYPE, key)) => Ok(Self { name, key }),
            Some(_) => Err(format!(
                "{text:?} is a key of another kind: witnesses sign with Ed25519 cosignature keys, name+0123abcd+B..."
            )),
            None => Err(format!(
                "{text:?} is not a witness' verifier key: it looks like name+0123abcd+BAbC... \
                 (Ed25519; ML-DSA keys are not known here)"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    /// A witness of the public network, and what it said about a public certificate log on 2026-08-02.
    const WITNESS: &str = "witness.navigli.sunlight.geomys.org+a3e00fe2+BNy/co4C1Hn1p+INwJrfUlgz7W55dSZReusH/GhUhJ/G";
    const TEXT: &str = "coachandhorses2026h1.staging.certificate.transparency.goog\n185550722\n\
        YXAM0VmnrfvLaBCOOYSJhCaE5F10oGBOo+hkbDa1kng=\n";
    const LINE: &str = "\u{2014} witness.navigli.sunlight.geomys.org o+AP4gAAAABqb7DzNrGFRJnQ9vrJ8xpnwZytnr/ZYczDIsvwvouiSjwOjn7a72ccxBk+lKnZ7dKqkYKER1s/KxLTaVwQD7lJZTC/CQ==";

    #[test]
    fn what_a_witness_of_the_public_network_signed_verifies() {
        let witness: Cosigner = WITNESS.parse().unwrap();
        assert_eq!(witness.to_string(), WITNESS);
        assert_eq!(witness.judge(TEXT, LINE), Said::Seen(1_785_704_691));
    }

    #[test]
    fn another_text_another_time_and_another_key_are_told_apart() {
        let witness: Cosigner = WITNESS.parse().unwrap();
        assert_eq!(witness.judge(&TEXT.replace("185550722", "185550723"), LINE), Said::Forged);
        // One second later.
        assert_eq!(witness.judge(TEXT, &LINE.replace("Bqb7Dz", "Bqb7D0")), Said::Forged);
        assert_eq!(witness.judge(TEXT, &LINE.replace("geomys.org", "geomys.net")), Said::Strange);
        let other: Cosigner = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2".parse().unwrap();
        assert_eq!(other.judge(TEXT, LINE), Said::Strange);
        for line in
            ["", "\u{2014} ", "\u{2014} x y", "no line", "\u{2014} witness.navigli.sunlight.geomys.org o+AP4g=="]
        {
            assert_ne!(witness.judge(TEXT, line), Said::Seen(0), "{line}");
        }
    }

    #[test]
    fn lines_behind_the_third_are_signed_with_the_rest() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
        let key: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
        let witness = Cosigner { name: "w.example/1".into(), key };
        let text = format!("{TEXT}an extension\n");
        let signature = pair.sign(format!("cosignature/v1\ntime 7\n{text}").as_bytes());
        let octets = [witness.id().as_slice(), &7u64.to_be_bytes(), signature.as_ref()].concat();
        let line = format!("{SIGNATURE}w.example/1 {}", STANDARD.encode(octets));
        assert_eq!(witness.judge(&text, &line), Said::Seen(7));
        assert_eq!(witness.judge(TEXT, &line), Said::Forged);
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        let log = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        assert!(log.parse::<Cosigner>().unwrap_err().contains("another kind"));
        assert!(WITNESS.replace("a3e0", "a3e1").parse::<Cosigner>().is_err());
        assert!("nonsense".parse::<Cosigner>().is_err());
    }
}
