//! The client of the agents of a Swarm's nodes.

use crate::client::{Client, ClientError, Excess, body};
use crate::{NetClient, limited};
use async_trait::async_trait;
use http::StatusCode;
use reqwest::tls::Version;
use std::net::SocketAddr;
use std::time::Duration;
use windlass_core::net::{NetError, Reach};
use windlass_core::node_usage::{AGENT_NAME, AgentClient, NodeUsage};
use windlass_core::{Secret, root_cause};

/// Bytes of an answer: some 40,000 containers.
const LONGEST: u64 = 8 << 20;

/// Sends requests to agents: over TLS 1.3, to servers with a certificate of one authority and no other.
#[derive(Debug, Clone)]
pub struct Agents {
    client: Client,
    token: Secret,
}

impl NetClient {
    /// A client of the agents with this certificate authority, in PEM, and this token. It reaches the addresses that a probe
    /// of a replica reaches.
    ///
    /// # Errors
    /// If the text holds no certificate, or the TLS library cannot be set up.
    pub fn agents(&self, authority: &str, token: Secret) -> Result<Agents, NetError> {
        let certificates = reqwest::Certificate::from_pem_bundle(authority.as_bytes());
        let certificates = certificates.map_err(|error| NetError::Failed(root_cause(&error)))?;
        if certificates.is_empty() {
            let why = "it holds no certificate; expected PEM, `-----BEGIN CERTIFICATE-----`";
            return Err(NetError::Failed(why.to_owned()));
        }
        // Agents share their name, so a connection that is kept for one would be used for another.
        let builder = reqwest::Client::builder().tls_certs_only(certificates).pool_max_idle_per_host(0);
        let builder = builder.tls_version_min(Version::TLS_1_3).https_only(true);
        Ok(Agents { client: Client::build(builder, &self.rules, Reach::Replica)?, token })
    }
}

#[async_trait]
impl AgentClient for Agents {
    async fn usage(&self, agent: SocketAddr, timeout: Duration) -> Result<NodeUsage, NetError> {
        let request = self.client.requests().get(format!("https://{AGENT_NAME}:{}/usage", agent.port()));
        let request = request.bearer_auth(self.token.reveal()).build().map_err(ClientError::from)?;
        let exchange = async {
            let mut response = self.client.send_to(agent, request).await?;
            let body = body(&mut response, LONGEST, Excess::IsAnError).await?;
            Ok::<_, ClientError>((response.status(), body))
        };
        match limited(timeout, exchange).await? {
            (StatusCode::OK, body) => serde_json::from_slice(&body)
                .map_err(|error| NetError::Failed(format!("the answer is not that of an agent: {error}"))),
            (StatusCode::UNAUTHORIZED, _) => Err(NetError::Failed("the agent has another token".to_owned())),
            (status, _) => Err(NetError::Failed(format!("the agent responded with status {status}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent_secrets::AgentSecrets;
    use crate::{NetOptions, set_up_tls};
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use std::sync::{Arc, Mutex};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use windlass_core::Timestamp;

    const LIMIT: Duration = Duration::from_secs(30);
    const EMPTY: &str = r#"{"now": "2026-01-01T00:00:00Z", "containers": {}}"#;

    fn secrets() -> AgentSecrets {
        AgentSecrets::issue(Timestamp::from(std::time::SystemTime::now()), 1).expect("secrets")
    }

    /// Answers with `answer` for ever, and records the heads of the requests that come through TLS.
    async fn agent(secrets: &AgentSecrets, answer: String) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
        set_up_tls();
        let certificate = CertificateDer::from_pem_slice(secrets.certificate.as_bytes()).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(secrets.key.reveal().as_bytes()).expect("a key");
        let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config.expect("a configuration")));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = vec![0; 8_192];
                let read = stream.read(&mut request).await.unwrap_or_default();
                seen.lock().expect("no panic").push(String::from_utf8_lossy(&request[..read]).into_owned());
                let _gone = stream.write_all(answer.as_bytes()).await;
                let _gone = stream.shutdown().await;
            }
        });
        (address, heads)
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    fn client(secrets: &AgentSecrets) -> Agents {
        let net = NetClient::new().expect("a client");
        net.agents(&secrets.authority, secrets.token.clone()).expect("a client of agents")
    }

    #[tokio::test]
    async fn two_agents_with_one_name_are_told_apart_by_their_addresses() {
        let secrets = secrets();
        let with = |digit: &str| {
            let id = digit.repeat(64);
            let usage = r#"{"at": "2026-01-01T00:00:00Z", "cpu_nanoseconds": 1, "memory_bytes": 2, "later": 3}"#;
            ok(&format!(r#"{{"now": "2026-01-01T00:00:01Z", "containers": {{"{id}": {usage}}}, "later": 4}}"#))
        };
        let (first, heads) = agent(&secrets, with("a")).await;
        let (second, _) = agent(&secrets, with("b")).await;
        let client = client(&secrets);
        for (address, digit) in [(first, "a"), (second, "b"), (first, "a")] {
            let usage = client.usage(address, LIMIT).await.expect("an answer");
            let ids: Vec<String> = usage.containers.keys().map(ToString::to_string).collect();
            assert_eq!(ids, [digit.repeat(64)], "fields that are unknown here are ignored");
        }
        let heads = heads.lock().expect("no panic").clone();
        let token = format!("authorization: Bearer {}\r\n", secrets.token.reveal());
        assert!(heads.len() == 2 && heads.iter().all(|head| head.contains(&token)), "{heads:?}");
    }

    #[tokio::test]
    async fn the_token_goes_only_to_an_agent_of_the_own_authority_and_name() {
        let ours = secrets();
        let (other_authority, heads) = agent(&secrets(), ok(EMPTY)).await;
        let error = client(&ours).usage(other_authority, LIMIT).await.expect_err("another authority");
        assert!(error.to_string().contains("invalid peer certificate"), "{error}");
        let now = Timestamp::from(std::time::SystemTime::now());
        let mut other_name = AgentSecrets::issue_for("another-name", now, 1).expect("secrets");
        let (address, heads_of_name) = agent(&other_name, ok(EMPTY)).await;
        other_name.token = ours.token.clone();
        let error = client(&other_name).usage(address, LIMIT).await.expect_err("another name");
        assert!(error.to_string().contains("not valid for name"), "{error}");
        // A server without TLS.
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let plain = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut bytes = vec![0; 1];
            stream.read_exact(&mut bytes).await.expect("a byte");
            let _gone = stream.write_all(ok(EMPTY).as_bytes()).await;
            bytes[0]
        });
        client(&ours).usage(address, LIMIT).await.expect_err("no TLS");
        assert_eq!(plain.await.expect("no panic"), 0x16, "the record of a handshake");
        assert!(heads.lock().expect("no panic").is_empty() && heads_of_name.lock().expect("no panic").is_empty());
    }

    #[tokio::test]
    async fn answers_that_are_not_those_of_an_agent_are_errors() {
        let secrets = secrets();
        for (answer, expected) in [
            (ok("[]"), "the answer is not that of an agent"),
            ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".to_owned(), "another token"),
            ("HTTP/1.1 302 Found\r\nlocation: https://windlass-agent/\r\ncontent-length: 0\r\n\r\n".to_owned(), "302"),
            (ok(&" ".repeat((8 << 20) + 1)), "the response body has more than 8388608 bytes"),
        ] {
            let (address, _) = agent(&secrets, answer).await;
            let error = client(&secrets).usage(address, LIMIT).await.expect_err("no usage");
            assert!(error.to_string().contains(expected), "{expected}: {error}");
        }
        let net = NetClient::new().expect("a client");
        assert!(net.agents("", secrets.token.clone()).is_err(), "there is no certificate");
    }

    #[tokio::test]
    async fn an_agent_that_does_not_answer_and_an_own_listener_are_errors() {
        let secrets = secrets();
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = silent.local_addr().expect("an address");
        let limit = Duration::from_millis(50);
        assert_eq!(client(&secrets).usage(address, limit).await, Err(NetError::TimedOut(limit)));
        let own = NetClient::with(NetOptions { listeners: vec![address], ..NetOptions::default() }).expect("a client");
        let own = own.agents(&secrets.authority, secrets.token.clone()).expect("a client of agents");
        let error = own.usage(address, LIMIT).await.expect_err("an own listener");
        assert!(error.to_string().contains("Windlass itself listens there"), "{error}");
    }
}
