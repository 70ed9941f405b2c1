//! Makes certificates of a new authority: for the agents of a Swarm, and for the API of a lab.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use std::time::Duration;
use windlass_core::{Secret, Timestamp};

/// Certificates are valid from this long before they are made, because the clocks of machines differ.
const BEFORE: Duration = Duration::from_secs(24 * 3_600);

/// An authority and one certificate that it signed. Texts are PEM.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The certificate of the authority, which clients trust.
    pub authority: String,
    /// The private key of the authority. It signs further certificates, and nothing else needs it.
    pub authority_key: Secret,
    /// The certificate of the server.
    pub certificate: String,
    /// The private key of the certificate.
    pub key: Secret,
}

impl Certificates {
    /// New certificates, valid for `days` days from `now`. `names` are the names and addresses of the server, the first of
    /// them its subject; `authority` names the authority.
    ///
    /// # Errors
    /// A sentence, if a name cannot be certified or the time is out of range.
    pub fn issue(authority: &str, names: &[String], now: Timestamp, days: u32) -> Result<Self, String> {
        let failed = |error: rcgen::Error| format!("the certificates cannot be made: {error}");
        let mut authority = params(&[], authority, now, days)?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let subject = names.first().map_or("", String::as_str);
        let mut server = params(names, subject, now, days)?;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        let (authority_key, key) = (KeyPair::generate().map_err(failed)?, KeyPair::generate().map_err(failed)?);
        let certificate_of_authority = authority.self_signed(&authority_key).map_err(failed)?;
        let text_of_authority_key = Secret::new(authority_key.serialize_pem());
        let issuer = Issuer::new(authority, authority_key);
        Ok(Self {
            authority: certificate_of_authority.pem(),
            authority_key: text_of_authority_key,
            certificate: server.signed_by(&key, &issuer).map_err(failed)?.pem(),
            key: Secret::new(key.serialize_pem()),
        })
    }
}

fn params(names: &[String], subject: &str, now: Timestamp, days: u32) -> Result<CertificateParams, String> {
    let mut params = CertificateParams::new(names).map_err(|error| format!("the name cannot be certified: {error}"))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    let day = |at: Timestamp| {
        let at = i64::try_from(at.0).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok())?;
        let date = jiff::tz::Offset::UTC.to_datetime(at).date();
        Some(date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs()))
    };
    // A certificate ends at midnight, so the last day is a whole one.
    let end = now.plus(Duration::from_secs(24 * 3_600 * (u64::from(days) + 1)));
    let out_of_range = || "the validity of the certificates is out of range".to_owned();
    params.not_before = day(now.minus(BEFORE)).ok_or_else(out_of_range)?;
    params.not_after = day(end).ok_or_else(out_of_range)?;
    Ok(params)
}
