//! Policies whose caller chooses the bytes of their answer, for tests that read hostile answers.

use super::{Kind, Stub, protects_by};

/// The address in the policy's memory at which the host reads the answers of `decide`, `evaluate` and `protected`.
pub const ANSWER_ADDRESS: u32 = 256;

/// The address at which the host reads the answer of `configure`.
pub const REQUIREMENTS_ADDRESS: u32 = 192;

/// The most bytes that a caller may choose.
pub const INPUT_BYTES: usize = 65_536;

/// A policy whose answers are the `memory` of the observation, copied to [`ANSWER_ADDRESS`]. A scaling policy also answers
/// `configure` with the bytes that its configuration stands for, see [`as_letters`], and protects replicas.
pub fn answers_from_input(kind: Kind) -> Stub {
    // The offset of `memory` among the arguments in the canonical ABI.
    let memory = match kind {
        Kind::Scaling => 100,
        Kind::Health => 88,
    };
    let copy = format!(
        "(memory.copy (i32.const {ANSWER_ADDRESS}) (i32.load offset={memory} (local.get 0)) \
         (i32.load offset={} (local.get 0)))",
        memory + 4
    );
    match kind {
        Kind::Health => Stub::new(kind).first(&copy),
        Kind::Scaling => {
            let mut stub = protects_by(&format!("{copy} (i32.const {ANSWER_ADDRESS})")).first(&copy).fields(&decode());
            stub.configure = "(call $decode (local.get 0) (local.get 1))".to_owned();
            stub.pages = 4;
            stub
        }
    }
}

/// `$decode`, which writes the bytes that letters stand for to [`REQUIREMENTS_ADDRESS`] and returns it.
fn decode() -> String {
    format!(
        "(func $decode (param $from i32) (param $length i32) (result i32) (local $to i32) (local $end i32)
            (local.set $to (i32.const {REQUIREMENTS_ADDRESS}))
            (local.set $end (i32.add (local.get $from) (i32.and (local.get $length) (i32.const -2))))
            (block $done (loop $more
                (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
                (i32.store8 (local.get $to) (i32.or
                    (i32.shl (i32.sub (i32.load8_u (local.get $from)) (i32.const 97)) (i32.const 4))
                    (i32.sub (i32.load8_u offset=1 (local.get $from)) (i32.const 97))))
                (local.set $from (i32.add (local.get $from) (i32.const 2)))
                (local.set $to (i32.add (local.get $to) (i32.const 1)))
                (br $more)))
            (i32.const {REQUIREMENTS_ADDRESS}))"
    )
}

/// Bytes as text, two letters from `a` to `p` for each: a configuration must be text.
pub fn as_letters(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|half| char::from(b'a' + half)).collect()
}
