module wit_component

go 1.25

// The version that this example is built and tested with.
toolchain go1.27.3

// The runtime of the generated bindings. Its version belongs to the version of `wit-bindgen`.
require go.bytecodealliance.org/pkg v0.2.3
