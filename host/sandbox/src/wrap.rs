//! Converts a core module, as compilers of Rust, C and Go produce it, to a component, so that authors need no other tool.

use crate::compression::{self, Compression};
use crate::wit_text;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The reason why a file cannot be converted to a component.
#[derive(Debug, thiserror::Error)]
pub enum WrapError {
    /// It is not a core module.
    #[error("it is not a core WebAssembly module: {0}")]
    NotAModule(String),
    /// It exports no interface of the contract.
    #[error(
        "it exports no interface of `windlass:policy`; generate its bindings from the contract (`windlass policy wit`)"
    )]
    NoExports,
    /// Its imports or exports do not fit the contract.
    #[error("it cannot be converted to a component: {0}")]
    Encode(String),
}

/// Converts a core module to a component. If the module does not name its world, it gets the world of its exports. Imports
/// of WASI preview 1 are adapted to preview 2.
///
/// # Errors
/// If the bytes are not such a module.
pub fn wrap(module: &[u8]) -> Result<Vec<u8>, WrapError> {
    let encode = |error: anyhow::Error| WrapError::Encode(format!("{error:#}"));
    let inspected = inspect(module)?;
    let mut module = module.to_vec();
    if !inspected.names_its_world {
        let world = inspected.world.ok_or(WrapError::NoExports)?;
        let mut resolve = Resolve::default();
        let package = resolve.push_str("windlass-policy.wit", &wit_text::text()).map_err(encode)?;
        let world = resolve.select_world(&[package], Some(world)).map_err(encode)?;
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(encode)?;
    }
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| {
            encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
        })
        .and_then(|mut encoder| encoder.encode())
        .map_err(encode)
}

/// The parts of a core module that determine its world.
struct Inspected {
    names_its_world: bool,
    /// The world of its exports.
    world: Option<&'static str>,
}

fn inspect(module: &[u8]) -> Result<Inspected, WrapError> {
    let wrong = |why: String| WrapError::NotAModule(why);
    if let Some(Compression { format, program }) = compression::of(module) {
        return Err(wrong(format!("it is compressed with {format}; decompress it with `{program}`")));
    }
    let mut inspected = Inspected { names_its_world: false, world: None };
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(|error| wrong(error.to_string()))? {
            Payload::Version { encoding: wasmparser::Encoding::Component, .. } => {
                return Err(wrong("it is a component already".to_owned()));
            }
            Payload::CustomSection(section) => {
                inspected.names_its_world |= section.name().starts_with("component-type");
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let name = export.map_err(|error| wrong(error.to_string()))?.name;
                    if name.starts_with("windlass:policy/scaling@") {
                        inspected.world = Some("scaling-policy");
                    } else if name.starts_with("windlass:policy/health@") {
                        inspected.world = Some("health-policy");
                    }
                }
            }
            _ => {}
        }
    }
    Ok(inspected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_module_of_the_contract_is_refused_with_a_reason() {
        let refused = |bytes: &[u8]| wrap(bytes).expect_err("refused").to_string();
        assert!(refused(b"text").starts_with("it is not a core WebAssembly module: "), "{}", refused(b"text"));
        let nothing = refused(b"\0asm\x01\0\0\0");
        assert!(nothing.starts_with("it exports no interface of `windlass:policy`"), "{nothing}");
        let component = refused(windlass_builtin::MIN_MAX);
        assert_eq!(component, "it is not a core WebAssembly module: it is a component already");
        let compressed = refused(b"\x1f\x8b\x08");
        let why = "it is not a core WebAssembly module: it is compressed with gzip; decompress it with `gunzip`";
        assert_eq!(compressed, why);
    }
}
