//! The text of a token, `wl_ID_SECRET`: made from random bytes, parsed, and compared by its hash in constant time.

use crate::error::Problem;
use rustls::crypto::ring;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The beginning of each token.
pub(crate) const BEGINNING: &str = "wl_";

/// Random bytes of an identifier and of a secret; each is written as two hexadecimal digits.
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;

/// A new token.
pub(crate) struct NewText {
    /// Its public part.
    pub(crate) id: String,
    /// SHA-256 of its secret part.
    pub(crate) hash: Vec<u8>,
    /// The whole text, which is shown once.
    pub(crate) text: String,
}

impl NewText {
    /// A token from random bytes.
    ///
    /// # Errors
    /// 500 if this machine has no random bytes.
    pub(crate) fn random() -> Result<Self, Problem> {
        let (id, secret) = (random_hex::<ID_BYTES>()?, random_hex::<SECRET_BYTES>()?);
        Ok(Self { hash: hash(secret.as_bytes()), text: format!("{BEGINNING}{id}_{secret}"), id })
    }
}

/// The identifier and the secret of a token. `None` if the text has another form.
pub(crate) fn parse(text: &[u8]) -> Option<(&str, &[u8])> {
    let (id, secret) = std::str::from_utf8(text).ok()?.strip_prefix(BEGINNING)?.split_once('_')?;
    Some((id, secret.as_bytes()))
}

/// SHA-256. A secret has 256 random bits, so nobody can guess it from its hash.
pub(crate) fn hash(secret: &[u8]) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}

/// Whether a text has this hash, in a time that depends on neither.
pub(crate) fn is_same(text: &[u8], hash: &[u8]) -> bool {
    Sha256::digest(text).ct_eq(hash).into()
}

/// Random bytes as hexadecimal digits.
///
/// # Errors
/// 500 if this machine has no random bytes.
pub(crate) fn random_hex<const BYTES: usize>() -> Result<String, Problem> {
    let mut bytes = [0; BYTES];
    if ring::default_provider().secure_random.fill(&mut bytes).is_err() {
        tracing::error!("this machine has no random bytes");
        return Err(Problem::internal());
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_is_parsed_and_has_its_hash() {
        let [new, other] = [(); 2].map(|()| NewText::random().expect("random bytes"));
        let (id, secret) = parse(new.text.as_bytes()).expect("a token");
        assert_eq!((id, secret.len(), id.len()), (new.id.as_str(), 64, 12));
        assert!(is_same(secret, &new.hash) && !is_same(secret, &other.hash) && !is_same(b"", &new.hash));
        assert!(new.text != other.text && !format!("{:?}", new.hash).contains(id));
        for wrong in ["", "wl_", "wl_a", "0123456789abcdef", "WL_a_b"] {
            assert!(parse(wrong.as_bytes()).is_none(), "{wrong}");
        }
        assert!(parse(b"wl_\xff_a").is_none());
    }
}
