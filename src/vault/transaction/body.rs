//! The body of a message that is kept: sealed, and durable where it is a segment.

use std::io;

use sha2::{Digest, Sha256};

use super::{INLINE, Transaction};
use crate::policy::refusal::Refusal;
use crate::vault::Vault;
use crate::vault::store::spool::Body;

/// The whole body, sealed, and durable if it is a segment. It is made once, however often it is asked for.
pub async fn body(vault: &Vault, transaction: &mut Transaction) -> io::Result<(Body, [u8; 32])> {
    if let Some(sealed) = &transaction.sealed {
        return Ok(sealed.clone());
    }
    let sealed = seal(vault, transaction).await?;
    transaction.sealed = Some(sealed.clone());
    Ok(sealed)
}

async fn seal(vault: &Vault, transaction: &mut Transaction) -> io::Result<(Body, [u8; 32])> {
    let Some(name) = transaction.segment.clone() else {
        let mut content = std::mem::take(&mut transaction.buffer);
        let digest = Sha256::digest(&content).into();
        transaction.key.seal(0, true, &mut content)?;
        return Ok((Body::Inline(content), digest));
    };
    // The buffer is never empty, and never longer than a chunk and what came at once: see `take`.
    while !transaction.buffer.is_empty() {
        let piece = transaction.piece(transaction.buffer.len() <= INLINE);
        vault.segments.append(piece).await.await.map_err(io::Error::other)??;
    }
    let digest = vault.segments.sync(name.clone(), transaction.size).await.await.map_err(io::Error::other)??;
    Ok((Body::Segment(name), digest))
}

/// The word for a body that could not be written.
pub fn refusal(error: &io::Error) -> Refusal {
    if error.kind() == io::ErrorKind::StorageFull { Refusal::StoreFull } else { Refusal::StoreUnavailable }
}
