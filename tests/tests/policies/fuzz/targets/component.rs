//! Loads damaged components, configures those that load, and calls them.

use crate::fuzz::target::Target;
use crate::mutations::once::once;
use windlass_builtin::{LIVENESS, MIN_MAX};
use windlass_tests::hostile;

pub(crate) const TARGET: Target = Target {
    name: "component",
    cases: 30,
    seeds,
    words: &[
        "\u{0}asm",
        "windlass:policy/scaling@0.1.0",
        "windlass:policy/health@0.1.0",
        "wasi:io/streams@0.2.0",
        "cabi_realloc",
    ],
    start: || Box::new(once),
};

fn seeds() -> Vec<Vec<u8>> {
    let small = [
        hostile::proposes(1).build(),
        hostile::protects(Some(0)).build(),
        hostile::decides_at_random(),
        hostile::has_schema(r##"{"properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"type": "number"}}}"##)
            .build(),
    ];
    small.into_iter().chain([MIN_MAX.to_vec(), LIVENESS.to_vec()]).collect()
}
