//! Counts what the host holds for a component's HTTP requests as memory of the call: headers, other parts of requests, and
//! buffers of bodies.

use crate::call_store::failure::LimitExceeded;
use crate::call_store::http::{CHUNK_BYTES, header_bytes};
use crate::call_store::state::CallState;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::p2::HeaderResult;
use wasmtime_wasi_http::p2::bindings::http::types::{
    HeaderError, Host, HostFields, HostOutgoingRequest, HostOutgoingResponse, Method,
};
use wasmtime_wasi_http::p2::body::HostOutgoingBody;
use wasmtime_wasi_http::p2::types::{HostOutgoingRequest as Request, HostOutgoingResponse as Response};
use wasmtime_wasi_http::{FieldMap, WasiHttpCtxView, WasiHttpView};

/// The interface in the version of wasmtime-wasi-http. With another one, the counting functions would not be called.
const TYPES: &str = "wasi:http/types@0.2.12";

/// Bytes that the buffer of a body holds: a chunk that is written, and two that wait.
const BODY_BYTES: usize = 3 * CHUNK_BYTES;

type Store<'a> = StoreContextMut<'a, CallState>;

/// Replaces the functions with which a component makes the host hold data by functions that count it first.
pub(crate) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES)?;
    types.func_wrap("[static]fields.from-list", |mut store: Store<'_>, (entries,): (Vec<(String, Vec<u8>)>,)| {
        let bytes = entries.iter().map(|(name, value)| header_bytes(name.len(), value.len())).sum();
        let mut http = counted(&mut store, bytes)?;
        let made = HostFields::from_list(&mut http, entries);
        Ok((answer(&mut http, made)?,))
    })?;
    types.func_wrap(
        "[method]fields.append",
        |mut store: Store<'_>, (fields, name, value): (Resource<FieldMap>, String, Vec<u8>)| {
            let mut http = counted(&mut store, header_bytes(name.len(), value.len()))?;
            let made = HostFields::append(&mut http, fields, name, value);
            Ok((answer(&mut http, made)?,))
        },
    )?;
    types.func_wrap(
        "[method]fields.set",
        |mut store: Store<'_>, (fields, name, values): (Resource<FieldMap>, String, Vec<Vec<u8>>)| {
            let bytes = values.iter().map(|value| header_bytes(name.len(), value.len())).sum();
            let mut http = counted(&mut store, bytes)?;
            let made = HostFields::set(&mut http, fields, name, values);
            Ok((answer(&mut http, made)?,))
        },
    )?;
    types.func_wrap("[method]fields.clone", |mut store: Store<'_>, (fields,): (Resource<FieldMap>,)| {
        let headers = store.data_mut().http().table.get(&fields)?.clone();
        let bytes = headers.iter().map(|(name, value)| header_bytes(name.as_str().len(), value.len())).sum();
        Ok((HostFields::clone(&mut counted(&mut store, bytes)?, fields)?,))
    })?;
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store: Store<'_>, (request, method): (Resource<Request>, Method)| {
            let bytes = if let Method::Other(name) = &method { name.len() } else { 0 };
            Ok((HostOutgoingRequest::set_method(&mut counted(&mut store, bytes)?, request, method)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-path-with-query",
        |mut store: Store<'_>, (request, path): (Resource<Request>, Option<String>)| {
            let bytes = path.as_ref().map_or(0, String::len);
            Ok((HostOutgoingRequest::set_path_with_query(&mut counted(&mut store, bytes)?, request, path)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store: Store<'_>, (request, authority): (Resource<Request>, Option<String>)| {
            let bytes = authority.as_ref().map_or(0, String::len);
            Ok((HostOutgoingRequest::set_authority(&mut counted(&mut store, bytes)?, request, authority)?,))
        },
    )?;
    types.func_wrap("[method]outgoing-request.body", |mut store: Store<'_>, (request,): (Resource<Request>,)| {
        let body: Result<Resource<HostOutgoingBody>, ()> =
            HostOutgoingRequest::body(&mut counted(&mut store, BODY_BYTES)?, request)?;
        Ok((body,))
    })?;
    types.func_wrap("[method]outgoing-response.body", |mut store: Store<'_>, (response,): (Resource<Response>,)| {
        let body: Result<Resource<HostOutgoingBody>, ()> =
            HostOutgoingResponse::body(&mut counted(&mut store, BODY_BYTES)?, response)?;
        Ok((body,))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The view of a store after counting bytes.
fn counted<'a>(store: &'a mut Store<'_>, bytes: usize) -> wasmtime::Result<WasiHttpCtxView<'a>> {
    let state = store.data_mut();
    state.memory().take(bytes).map_err(LimitExceeded)?;
    Ok(state.http())
}

/// The error that the component receives; any other error ends the call.
fn answer<T>(http: &mut WasiHttpCtxView<'_>, result: HeaderResult<T>) -> wasmtime::Result<Result<T, HeaderError>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => Ok(Err(Host::convert_header_error(http, error)?)),
    }
}
