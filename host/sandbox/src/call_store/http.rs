//! WASI's outgoing HTTP as far as it was granted: whom a call may ask, how often, how long and how much.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::time::Instant;
use wasmtime::component::Linker;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks,
    WasiHttpView,
};
use windlass_core::Origin;
use windlass_core::net::{HttpSender, SendError};
use windlass_core::settings::HttpGrant;

use crate::call_store::CallState;

/// Adds `wasi:http/types` and `wasi:http/outgoing-handler`.
pub(crate) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

/// What one call has of the network.
pub(crate) struct Http {
    context: WasiHttpCtx,
    gate: Gate,
}

impl Http {
    /// `sender` is there while the policy decides, and only if it was granted anything.
    pub(crate) fn new(grant: Option<&HttpGrant>, sender: Option<Arc<dyn HttpSender>>) -> Self {
        let granted = grant.cloned().zip(sender);
        Self { context: WasiHttpCtx::new(), gate: Gate { granted, sent: 0, ends: None, notes: Arc::default() } }
    }

    /// Why requests were not sent, or not answered.
    pub(crate) fn into_notes(self) -> Vec<String> {
        std::mem::take(&mut *self.gate.notes.lock())
    }
}

impl WasiHttpView for CallState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let http = self.http.get_or_insert_with(|| Box::new(Http::new(self.limits.http.as_ref(), self.sender.clone())));
        WasiHttpCtxView { hooks: &mut http.gate, table: &mut self.table, ctx: &mut http.context }
    }
}

/// Lets through what was granted.
struct Gate {
    granted: Option<(HttpGrant, Arc<dyn HttpSender>)>,
    sent: u32,
    /// When the last answer must be there; begins with the first request.
    ends: Option<Instant>,
    /// For the author, who is told by a bare code otherwise. Bounded by the log's lines.
    notes: Arc<Mutex<Vec<String>>>,
}

/// A request that may be sent.
struct Admitted {
    sender: Arc<dyn HttpSender>,
    grant: HttpGrant,
    ends: Instant,
    uri: http::Uri,
}

impl Gate {
    fn admit(&mut self, uri: &http::Uri) -> Result<Admitted, String> {
        let Some((grant, sender)) = &self.granted else {
            return Err("a policy may ask the network only while it decides".to_owned());
        };
        let shown = || format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default());
        let origin = Origin::new(uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default(), uri.port_u16());
        let Some(origin) = origin.ok().filter(|origin| grant.hosts.contains(origin)) else {
            let known: Vec<String> = grant.hosts.iter().map(ToString::to_string).collect();
            return Err(format!("it may not ask {}; it was granted {}", shown().escape_debug(), known.join(", ")));
        };
        if self.sent >= grant.requests {
            return Err(format!("it was granted {} requests in one call", grant.requests));
        }
        // From what was compared, so that nothing else is asked: no user name, no other spelling of the host.
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let uri = format!("{origin}{path}").parse().map_err(|error| format!("the path cannot be sent: {error}"))?;
        self.sent += 1;
        let ends = *self.ends.get_or_insert_with(|| Instant::now() + grant.time);
        Ok(Admitted { sender: Arc::clone(sender), grant: grant.clone(), ends, uri })
    }
}

type Answered = (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for Gate {
    fn set_host_header(&mut self) -> bool {
        // The sender does, from the address.
        false
    }

    /// The guest's own time limits are not looked at: those of the grant are shorter than any it would set.
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answered, Error>> + Send> {
        let notes = Arc::clone(&self.notes);
        let note = move |why: String| notes.lock().push(why);
        let admitted = self.admit(request.uri());
        Box::new(async move {
            let Admitted { sender, grant, ends, uri } = admitted.map_err(|why| {
                note(format!("no request was sent: {why}"));
                Error::HttpRequestDenied
            })?;
            let origin = uri.authority().map(ToString::to_string).unwrap_or_default();
            let exchange = exchange(&*sender, &grant, uri, request);
            let answered = match tokio::time::timeout_at(ends, exchange).await {
                Ok(answered) => answered,
                Err(_) => {
                    note(format!("{origin} did not answer within the {} ms granted", grant.time.as_millis()));
                    Err(Error::HttpResponseTimeout)
                }
            };
            answered.inspect_err(|error| {
                if let Error::InternalError(Some(why)) = error {
                    note(format!("{origin} was asked in vain: {why}"));
                }
            })
        })
    }
}

/// One request and its answer, both whole.
async fn exchange(
    sender: &dyn HttpSender,
    grant: &HttpGrant,
    uri: http::Uri,
    request: http::Request<WasiBody>,
) -> Result<Answered, Error> {
    let (mut parts, body) = request.into_parts();
    let most = usize::try_from(grant.request_bytes).unwrap_or(usize::MAX);
    let body = Limited::new(body, most).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return Error::HttpRequestBodySize(Some(grant.request_bytes));
        }
        Error::InternalError(Some(error.to_string()))
    })?;
    parts.uri = uri;
    // Said anew of the whole body.
    parts.headers.remove(http::header::CONTENT_LENGTH);
    let sent = sender.send(http::Request::from_parts(parts, body.to_bytes()), grant.response_bytes).await;
    let (mut parts, body) = sent.map_err(failure)?.into_parts();
    for name in &DEFAULT_FORBIDDEN_HEADERS {
        parts.headers.remove(name);
    }
    let body = Full::<Bytes>::new(body).map_err(|never| match never {}).boxed_unsync();
    Ok((http::Response::from_parts(parts, body), Box::new(async { Ok(()) })))
}

fn failure(error: SendError) -> Error {
    match error {
        SendError::TooLong(longest) => Error::HttpResponseBodySize(Some(longest)),
        SendError::Failed(why) => Error::InternalError(Some(why)),
    }
}
