module wit_component

go 1.25

// The version this was tried with.
toolchain go1.27.3

require go.bytecodealliance.org/pkg v0.2.3

// The runtime of the generated code lies beside it: nothing is fetched.
replace go.bytecodealliance.org/pkg => ./pkg
