//! WASI's outgoing HTTP within a grant: the hosts, requests, time and bytes of one call.

use crate::call_store::usage::Memory;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::time::Instant;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi_http::{DEFAULT_FORBIDDEN_HEADERS, Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpHooks};
use windlass_core::net::{Allowance, HttpSender, Reach, SendError};
use windlass_core::settings::HttpGrant;
use windlass_core::{GrantedTarget, Origin};

pub(crate) use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

/// Adds `wasi:http/types` and `wasi:http/outgoing-handler`.
pub(crate) fn add_to_linker<T: WasiHttpView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

/// Bytes that a component may write to a body at once.
pub(crate) const CHUNK_BYTES: usize = 16 << 10;

/// Bytes that a header takes beside its name and its value.
const HEADER_OVERHEAD: usize = 96;

/// Bytes that a header with a name and a value of this length takes.
pub(crate) fn header_bytes(name: usize, value: usize) -> usize {
    name + value + HEADER_OVERHEAD
}

/// Outgoing HTTP of one call.
pub(crate) struct Http {
    context: WasiHttpCtx,
    permission: Permission,
}

impl Http {
    /// `sender` is `None` unless the policy decides or evaluates and has a grant.
    pub(crate) fn new(grant: Option<&HttpGrant>, sender: Option<Arc<dyn HttpSender>>, memory: Memory) -> Self {
        let granted = grant.cloned().zip(sender);
        Self {
            context: WasiHttpCtx::new(),
            permission: Permission { granted, sent: 0, ends: None, memory, notes: Arc::default() },
        }
    }

    /// The reasons why requests were not sent, or not answered.
    pub(crate) fn into_notes(self) -> Vec<String> {
        std::mem::take(&mut *self.permission.notes.lock())
    }

    /// The view that wasmtime works with. `table` is the one of the store.
    pub(crate) fn view<'a>(&'a mut self, table: &'a mut ResourceTable) -> WasiHttpCtxView<'a> {
        WasiHttpCtxView { hooks: &mut self.permission, table, ctx: &mut self.context }
    }
}

/// Sends granted requests and rejects all others.
struct Permission {
    granted: Option<(HttpGrant, Arc<dyn HttpSender>)>,
    sent: u32,
    /// Deadline of the last response. The granted time starts with the first request.
    ends: Option<Instant>,
    /// The memory of the call, of which each response takes a part.
    memory: Memory,
    /// Log lines for the author, since the policy gets an error code only. The limit of log lines applies.
    notes: Arc<Mutex<Vec<String>>>,
}

/// Characters of a method and path that the log shows.
const REQUEST_CHARACTERS: usize = 200;

/// A request that may be sent.
struct Admitted {
    sender: Arc<dyn HttpSender>,
    grant: HttpGrant,
    ends: Instant,
    uri: http::Uri,
}

impl Permission {
    fn admit(&mut self, method: &http::Method, uri: &http::Uri) -> Result<Admitted, String> {
        let Some((grant, sender)) = &self.granted else {
            return Err("a policy may send HTTP requests only while it decides".to_owned());
        };
        let (scheme, host) = (uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default());
        let known = || grant.hosts.iter().map(ToString::to_string).collect::<Vec<String>>().join(", ");
        let is_granted = |origin: &Origin| grant.hosts.iter().any(|target| target.host == *origin);
        let origin = Origin::new(scheme, host, uri.port_u16()).ok().filter(is_granted);
        let Some(origin) = origin else {
            let requested = format!("{scheme}://{host}");
            return Err(format!("it may not send to {}; it was granted {}", requested.escape_debug(), known()));
        };
        let admits = |target: &GrantedTarget| target.admits(&origin, method.as_str(), uri.path());
        if !grant.hosts.iter().any(admits) {
            let requested: String =
                format!("{method} {}", uri.path()).escape_debug().take(REQUEST_CHARACTERS).collect();
            return Err(format!("it may not send {requested} to {origin}; it was granted {}", known()));
        }
        if self.sent >= grant.requests {
            return Err(format!("it was granted {} requests in one call", grant.requests));
        }
        // Made from the compared origin, so that no user name or other spelling of the host is sent.
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let uri = format!("{origin}{path}").parse().map_err(|error| format!("the path cannot be sent: {error}"))?;
        self.sent += 1;
        let ends = *self.ends.get_or_insert_with(|| Instant::now() + grant.time);
        Ok(Admitted { sender: Arc::clone(sender), grant: grant.clone(), ends, uri })
    }
}

type Answered = (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for Permission {
    fn set_host_header(&mut self) -> bool {
        // The sender sets it from the address.
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    /// The guest's own timeouts are ignored: the time of the grant limits all requests.
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answered, Error>> + Send> {
        let (notes, memory) = (Arc::clone(&self.notes), self.memory.clone());
        let note = move |why: String| notes.lock().push(why);
        let admitted = self.admit(request.method(), request.uri());
        Box::new(async move {
            let Admitted { sender, grant, ends, uri } = admitted.map_err(|why| {
                note(format!("no request was sent: {why}"));
                Error::HttpRequestDenied
            })?;
            let origin = uri.authority().map(ToString::to_string).unwrap_or_default();
            let exchange = exchange(&*sender, &grant, &memory, uri, request);
            let answered = match tokio::time::timeout_at(ends, exchange).await {
                Ok(answered) => answered,
                Err(_) => {
                    note(format!("{origin} did not answer within the {} ms granted", grant.time.as_millis()));
                    Err(Error::HttpResponseTimeout)
                }
            };
            answered.inspect_err(|error| {
                if let Error::InternalError(Some(why)) = error {
                    note(format!("the request to {origin} failed: {why}"));
                }
            })
        })
    }
}

/// One request and its response, both read completely.
async fn exchange(
    sender: &dyn HttpSender,
    grant: &HttpGrant,
    memory: &Memory,
    uri: http::Uri,
    request: http::Request<WasiBody>,
) -> Result<Answered, Error> {
    let (mut parts, body) = request.into_parts();
    let limit = usize::try_from(grant.request_bytes).unwrap_or(usize::MAX);
    let body = Limited::new(body, limit).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return Error::HttpRequestBodySize(Some(grant.request_bytes));
        }
        Error::InternalError(Some(error.to_string()))
    })?;
    parts.uri = uri;
    // The sender sets it again for the complete body.
    parts.headers.remove(http::header::CONTENT_LENGTH);
    let allowance =
        Allowance { reach: Reach::Configured, body_bytes: grant.response_bytes, error_bytes: None, redirects: None };
    let sent = sender.send(http::Request::from_parts(parts, body.to_bytes()), allowance).await;
    let (mut parts, body) = sent.map_err(failure)?.into_parts();
    let headers: usize = parts.headers.iter().map(|(name, value)| header_bytes(name.as_str().len(), value.len())).sum();
    memory.take(headers + body.len()).map_err(|failure| Error::InternalError(Some(failure.to_string())))?;
    for name in &DEFAULT_FORBIDDEN_HEADERS {
        parts.headers.remove(name);
    }
    let body = Full::<Bytes>::new(body).map_err(|never| match never {}).boxed_unsync();
    Ok((http::Response::from_parts(parts, body), Box::new(async { Ok(()) })))
}

fn failure(error: SendError) -> Error {
    match error {
        SendError::TooLong(longest) => Error::HttpResponseBodySize(Some(longest)),
        SendError::UnknownAuthority(why) | SendError::NotTls(why) | SendError::Failed(why) => {
            Error::InternalError(Some(why))
        }
    }
}
