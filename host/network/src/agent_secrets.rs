//! Makes the secrets of the agents of one installation: a certificate authority, a certificate and a token.

use crate::certificates::Certificates;
use windlass_core::node_usage::AGENT_NAME;
use windlass_core::{Secret, Timestamp};

/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;

/// The secrets. Texts of certificates and keys are PEM.
#[derive(Debug, Clone)]
pub struct AgentSecrets {
    /// The certificate of the authority, which clients trust.
    pub authority: String,
    /// The private key of the authority. It signs further certificates, and nothing else needs it.
    pub authority_key: Secret,
    /// The certificate of every agent, for [`AGENT_NAME`].
    pub certificate: String,
    /// The private key of the certificate.
    pub key: Secret,
    /// The token that clients send, 64 hexadecimal digits.
    pub token: Secret,
}

impl AgentSecrets {
    /// New secrets. The certificates are valid for `days` days from `now`.
    ///
    /// # Errors
    /// A sentence, if there are no random bytes or the time is out of range.
    pub fn issue(now: Timestamp, days: u32) -> Result<Self, String> {
        Self::issue_for(AGENT_NAME, now, days)
    }

    /// As [`AgentSecrets::issue`], for another name.
    pub(crate) fn issue_for(name: &str, now: Timestamp, days: u32) -> Result<Self, String> {
        let Certificates { authority, authority_key, certificate, key } =
            Certificates::issue("Windlass agents", &[name.to_owned()], now, days)?;
        Ok(Self { authority, authority_key, certificate, key, token: token()? })
    }
}

fn token() -> Result<Secret, String> {
    let mut bytes = [0; TOKEN_BYTES];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| "this machine has no random bytes".to_owned())?;
    Ok(Secret::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use std::sync::Arc;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    /// Whether the certificate proves a name at a time, for a client that trusts the authority.
    fn is_valid(secrets: &AgentSecrets, authority: &str, name: &'static str, at: Timestamp) -> bool {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).expect("a certificate")).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let certificate = CertificateDer::from_pem_slice(secrets.certificate.as_bytes()).expect("a certificate");
        let name = ServerName::try_from(name).expect("a name");
        let at = UnixTime::since_unix_epoch(Duration::from_millis(at.0));
        verifier.expect("a verifier").verify_server_cert(&certificate, &[], &name, &[], at).is_ok()
    }

    #[test]
    fn the_certificate_proves_the_name_of_agents_while_it_is_valid() {
        let secrets = AgentSecrets::issue(NOW, 30).expect("secrets");
        let day = Duration::from_secs(24 * 3_600);
        let at = |name, at| is_valid(&secrets, &secrets.authority, name, at);
        assert!(at(AGENT_NAME, NOW) && at(AGENT_NAME, NOW.minus(day / 2)) && at(AGENT_NAME, NOW.plus(day * 29)));
        assert!(!at("localhost", NOW), "another name");
        assert!(!at(AGENT_NAME, NOW.plus(day * 31)) && !at(AGENT_NAME, NOW.minus(day * 3)));
        let other = AgentSecrets::issue(NOW, 30).expect("secrets");
        assert!(!is_valid(&secrets, &other.authority, AGENT_NAME, NOW), "another authority");
    }

    #[test]
    fn each_installation_has_its_own_secrets_and_no_log_shows_them() {
        let [one, two] = [(); 2].map(|()| AgentSecrets::issue(NOW, 30).expect("secrets"));
        assert!(one.token != two.token && one.key != two.key && one.authority_key != two.authority_key);
        assert!(one.token.reveal().len() == 64 && one.token.reveal().bytes().all(|byte| byte.is_ascii_hexdigit()));
        let shown = format!("{one:?}");
        assert!(!shown.contains(one.token.reveal()) && !shown.contains("PRIVATE KEY"), "{shown}");
        assert!(AgentSecrets::issue(Timestamp(u64::MAX), 30).is_err());
    }
}
