//! The reasons why a file cannot be loaded as a policy.

use crate::compile::CompileError;
use crate::contract_check::LinkProblem;
use windlass_core::text::sentences;
use windlass_core::{FailureKind, PolicyFailure};

/// The reasons why a file cannot be loaded as a policy, in sentences for its author.
#[derive(Debug, thiserror::Error)]
#[error("{}", sentences(.problems))]
pub struct LoadError {
    /// Every problem; never empty.
    pub problems: Vec<LoadProblem>,
}

impl LoadError {
    /// Whether the same file may load at another time: it took too long, or the compiler did not finish.
    pub fn may_pass(&self) -> bool {
        self.problems.iter().all(LoadProblem::may_pass)
    }

    /// Whether the same file can never load, whatever the settings are.
    pub fn is_final(&self) -> bool {
        !self.problems.iter().all(|problem| problem.may_pass() || problem.depends_on_settings())
    }
}

/// One reason why a file cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadProblem {
    /// It has no bytes.
    #[error("the file is empty; expected a WebAssembly component")]
    Empty,
    /// It has more bytes than allowed.
    #[error("the file has {size} bytes; a component may have at most {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: u64,
    },
    /// It is text: WebAssembly's text format or any other.
    #[error(
        "the file is text, not a WebAssembly component; if it is WAT, convert it with \
         `wasm-tools parse FILE -o FILE.wasm`"
    )]
    Text,
    /// It is a core module.
    #[error(
        "the file is a core WebAssembly module, not a component; convert it with \
         `windlass policy wrap FILE -o COMPONENT`"
    )]
    CoreModule,
    /// It is machine code, which the host accepts only from its own compiler.
    #[error(
        "the file is machine code that a WebAssembly engine compiled; push the component that it was compiled from"
    )]
    Precompiled,
    /// It is compressed, in this format, which this program decompresses.
    #[error("the file is compressed with {0}; decompress it with `{1}` and push the component inside")]
    Compressed(&'static str, &'static str),
    /// It is neither.
    #[error("the file is not WebAssembly: it does not begin with the bytes `\\0asm`")]
    NotWasm,
    /// It cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It needs more resources than the limits of a call allow.
    #[error("it needs more than a policy may have: {0}")]
    Demand(String),
    /// It does not fit the contract.
    #[error(transparent)]
    Link(#[from] LinkProblem),
    /// Its `describe` failed.
    #[error("its function `describe` failed: {0}")]
    Manifest(PolicyFailure),
    /// Its description violates the contract.
    #[error("its description is invalid: {0}")]
    Description(String),
}

impl LoadProblem {
    fn may_pass(&self) -> bool {
        match self {
            Self::Compile(error) => !matches!(error, CompileError::Invalid(_) | CompileError::Async),
            Self::Manifest(failure) => matches!(failure.kind, FailureKind::Time | FailureKind::Busy),
            _ => false,
        }
    }

    fn depends_on_settings(&self) -> bool {
        match self {
            Self::Manifest(failure) => failure.kind == FailureKind::Memory,
            Self::TooLarge { .. } | Self::Demand(_) | Self::Link(LinkProblem::NotGranted { .. }) => true,
            _ => false,
        }
    }
}

impl From<LoadProblem> for LoadError {
    fn from(problem: LoadProblem) -> Self {
        Self { problems: vec![problem] }
    }
}
