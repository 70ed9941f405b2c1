//! Makes a component of a core module, as compilers of Rust, C and Go leave it: for authors, who then need no
//! other tool.

use crate::wit_text;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Why no component can be made of a file.
#[derive(Debug, thiserror::Error)]
pub enum WrapError {
    /// It is not what compilers leave.
    #[error("it is not a core WebAssembly module: {0}")]
    NotAModule(String),
    /// It exports nothing of the contract.
    #[error(
        "it exports nothing of `windlass:policy`: were its bindings made from the contract (`windlass policy wit`)?"
    )]
    NoExports,
    /// What it imports or exports does not fit the contract.
    #[error("it cannot be made a component: {0}")]
    Encode(String),
}

/// The component of a core module. A module that does not say for which world it was compiled gets the world its
/// exports belong to; what it asks of WASI's first preview is put in terms of the second.
///
/// # Errors
/// When the bytes are no such module.
pub fn wrap(module: &[u8]) -> Result<Vec<u8>, WrapError> {
    let encode = |error: anyhow::Error| WrapError::Encode(format!("{error:#}"));
    let seen = look(module)?;
    let mut module = module.to_vec();
    if !seen.says_its_world {
        let world = seen.world.ok_or(WrapError::NoExports)?;
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

struct Seen {
    says_its_world: bool,
    /// The world that its exports belong to.
    world: Option<&'static str>,
}

fn look(module: &[u8]) -> Result<Seen, WrapError> {
    let wrong = |why: String| WrapError::NotAModule(why);
    let mut seen = Seen { says_its_world: false, world: None };
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(|error| wrong(error.to_string()))? {
            Payload::Version { encoding: wasmparser::Encoding::Component, .. } => {
                return Err(wrong("it is a component already".to_owned()));
            }
            Payload::CustomSection(section) => seen.says_its_world |= section.name().starts_with("component-type"),
            Payload::ExportSection(exports) => {
                for export in exports {
                    let name = export.map_err(|error| wrong(error.to_string()))?.name;
                    if name.starts_with("windlass:policy/scaling@") {
                        seen.world = Some("scaling-policy");
                    } else if name.starts_with("windlass:policy/health@") {
                        seen.world = Some("health-policy");
                    }
                }
            }
            _ => {}
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_module_of_the_contract_is_refused_with_a_reason() {
        let refused = |bytes: &[u8]| wrap(bytes).expect_err("refused").to_string();
        assert!(refused(b"text").starts_with("it is not a core WebAssembly module: "), "{}", refused(b"text"));
        let nothing = refused(b"\0asm\x01\0\0\0");
        assert!(nothing.starts_with("it exports nothing of `windlass:policy`"), "{nothing}");
        let component = refused(windlass_builtin::MIN_MAX);
        assert_eq!(component, "it is not a core WebAssembly module: it is a component already");
    }
}
