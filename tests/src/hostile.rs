//! Components that misbehave, each in one way, and the result that the host must report. They are written in WAT
//! against `wit/`, so a change of the contract changes them too.

mod chosen_answer;

pub use chosen_answer::{ANSWER_ADDRESS, INPUT_BYTES, REQUIREMENTS_ADDRESS, answers_from_input, as_letters};

use crate::policies::unhurried;
use windlass_core::FailureKind;
use windlass_core::settings::PolicyLimits;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A component that misbehaves.
#[derive(Debug, Clone)]
pub struct Hostile {
    /// Its behaviour, in a form that fits a file name.
    pub name: &'static str,
    /// The component's bytes.
    pub bytes: Vec<u8>,
    /// The result under the host's default limits.
    pub expect: Expect,
}

/// The result that the host must report for a hostile component. The text is a part of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// The component does not load.
    NotLoaded(&'static str),
    /// The component loads as a scaling policy, and its decision fails.
    Scaling(FailureKind, &'static str),
    /// The component loads as a health policy, and its evaluation of the replicas `a` and `b` fails.
    Health(FailureKind, &'static str),
    /// The component loads as a scaling policy, and checking the configuration `{}` fails.
    Configure(FailureKind, &'static str),
    /// The component loads as a scaling policy and decides for one replica, and its protection call fails.
    Protect(FailureKind, &'static str),
    /// The component loads as a scaling policy and decides for one replica; its side effects do no harm.
    Harmless,
}

impl Expect {
    /// The limits under which the component shows its harm: the default ones if that is its time, else much more time, so that
    /// a busy machine does not look like a slow policy.
    pub fn limits(self) -> PolicyLimits {
        match self {
            Self::NotLoaded(part)
            | Self::Scaling(_, part)
            | Self::Health(_, part)
            | Self::Configure(_, part)
            | Self::Protect(_, part)
                if part.contains("it ran longer") =>
            {
                PolicyLimits::default()
            }
            _ => unhurried(),
        }
    }
}

/// The kind of policy that a stub becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A scaling policy.
    Scaling,
    /// A health policy.
    Health,
}

/// A small well-behaved policy in WAT that a test changes in one respect. A scaling policy always proposes 1 replica; a
/// health policy reports the replica `a` as healthy.
#[derive(Debug, Clone)]
pub struct Stub {
    kind: Kind,
    wit: String,
    /// Names of further interfaces that the world imports or exports, as WIT.
    world: String,
    imports: String,
    pages: u32,
    fields: String,
    describe: String,
    configure: String,
    answer: String,
    exports_version: &'static str,
}

/// Addresses of the stub's answers in its memory.
const DESCRIPTION: &str = "(i32.const 128)";
const REQUIREMENTS: &str = "(i32.const 192)";
const ANSWER: &str = "(i32.const 256)";

impl Stub {
    /// A well-behaved policy.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            wit: [
                include_str!("../../wit/types.wit"),
                include_str!("../../wit/manifest.wit"),
                include_str!("../../wit/log.wit"),
                include_str!("../../wit/scaling.wit"),
                include_str!("../../wit/protection.wit"),
                include_str!("../../wit/health.wit"),
            ]
            .map(|file| file.replace("package windlass:policy@0.1.0;", ""))
            .concat(),
            world: String::new(),
            imports: String::new(),
            pages: 4,
            fields: String::new(),
            describe: DESCRIPTION.to_owned(),
            configure: REQUIREMENTS.to_owned(),
            answer: ANSWER.to_owned(),
            exports_version: "0.1.0",
        }
    }

    /// Runs these instructions before returning the answer. `$i` and `$handle` are locals of type i32.
    #[must_use]
    pub fn first(mut self, instructions: &str) -> Self {
        self.answer = format!("{instructions} {ANSWER}");
        self
    }

    /// Adds fields to the module.
    #[must_use]
    pub fn fields(mut self, fields: &str) -> Self {
        self.fields.push_str(fields);
        self
    }

    /// Requests a metric over a window in milliseconds.
    #[must_use]
    pub fn requires(self, metric: &str, window: u32) -> Self {
        let request = words(&[(196, 4096), (200, 1), (4096, 4200), (4100, metric.len() as u32), (4104, window)]);
        self.fields(&format!("{request} (data (i32.const 4200) \"{metric}\")"))
    }

    /// Imports the log as `$log (param level, pointer, length)`.
    #[must_use]
    pub fn log(mut self) -> Self {
        self.world.push_str("import log;\n");
        self.imports.push_str(r#"(import "windlass:policy/log@0.1.0" "write" (func $log (param i32 i32 i32)))"#);
        self
    }

    /// Imports functions of WASI 0.2.
    #[must_use]
    pub fn wasi(mut self, interface: &str, imports: &str) -> Self {
        self.world.push_str(&format!("import {interface};\n"));
        self.imports.push_str(imports);
        self
    }

    /// The component's bytes.
    pub fn build(&self) -> Vec<u8> {
        let version = self.exports_version;
        let (interface, function, bytes) = match self.kind {
            Kind::Scaling => ("scaling", "decide", words(&[(256, 0), (264, 1), (268, 80), (272, 7), (288, 0)])),
            Kind::Health => (
                "health",
                "evaluate",
                words(&[(256, 0), (260, 400), (264, 1), (400, 96), (404, 1), (408, 2), (412, 80), (416, 7)]),
            ),
        };
        let description = words(&[(128, 16), (132, 7), (136, 32), (140, 5), (144, 48), (148, 10), (152, 64), (156, 2)]);
        let module = format!(
            r#"(module
                {imports}
                (memory (export "memory") {pages})
                (data (i32.const 16) "hostile")
                (data (i32.const 32) "1.0.0")
                (data (i32.const 48) "misbehaves")
                (data (i32.const 64) "{{}}")
                (data (i32.const 80) "as told")
                (data (i32.const 96) "abstranger")
                {description}
                {bytes}
                (global $next (mut i32) (i32.const 131072))
                (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
                    (local $at i32)
                    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
                    (global.set $next (i32.add (local.get $at) (local.get $size)))
                    (block $enough (loop $more
                        (br_if $enough (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
                        (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))
                        (br $more)))
                    (local.get $at))
                (func (export "windlass:policy/manifest@{version}#describe") (result i32) {describe})
                (func (export "windlass:policy/manifest@{version}#configure") (param i32 i32) (result i32) {configure})
                (func (export "windlass:policy/{interface}@{version}#{function}") (param i32) (result i32)
                    (local $i i32) (local $handle i32)
                    {answer})
                {fields})"#,
            imports = self.imports,
            pages = self.pages,
            describe = self.describe,
            configure = self.configure,
            answer = self.answer,
            fields = self.fields,
        );
        let mut module = wat::parse_str(&module).unwrap_or_else(|error| panic!("{error}\n{module}"));
        let mut resolve = Resolve::default();
        for (name, wit) in WASI {
            resolve.push_str(name, wit).expect("the WIT of WASI is well-formed");
        }
        let wit = format!(
            "package windlass:policy@{version};\n{}\nworld hostile {{ {} export manifest; export {interface}; }}",
            self.wit, self.world
        );
        let package = resolve.push_str("policy.wit", &wit).expect("the WIT is well-formed");
        let world = resolve.select_world(&[package], Some("hostile")).expect("the world is there");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .expect("the module takes its world");
        ComponentEncoder::default()
            .validate(true)
            .module(&module)
            .and_then(|mut encoder| encoder.encode())
            .expect("the module fits its world")
    }
}

/// A scaling policy that sends `GET http://{authority}{path}` several times in sequence. It proposes the first byte of
/// the last body as a digit. If the last request failed, it proposes 100 plus the number of the error code; if the
/// request could not be sent, 200.
pub fn asks(authority: &str, path: &str, requests: u32) -> Stub {
    http_stub().fields(&http_fields(authority, path)).first(&repeat(requests, "(call $ask)"))
}

/// Like the stub above, but sends the requests while checking a configuration.
pub fn asks_in_configure(authority: &str, path: &str) -> Stub {
    let mut stub = http_stub().fields(&http_fields(authority, path)).fields(
        // The configuration is rejected with the request's result: `invalid-config` has a text of one byte.
        r#"(func $told (result i32) (call $ask)
            (i32.store8 (i32.const 192) (i32.ne (i32.load (i32.const 264)) (i32.const 115)))
            (i32.const 192))"#,
    );
    stub.configure = "(call $told)".to_owned();
    stub
}

/// Scaling policies that make the host hold data for 200 HTTP requests that they never send: 30,000 bytes of headers each, the
/// same headers again as a copy, 30,000 bytes of a path each, and the buffers of 200 bodies.
pub fn hoards() -> [(&'static str, Stub); 4] {
    let append = "(call $append (call $fields) (i32.const 65536) (i32.const 1) (i32.const 65536) (i32.const 30000) (i32.const 3072))";
    let copy = "(local.set $handle (call $fields))
        (call $append (local.get $handle) (i32.const 65536) (i32.const 1) (i32.const 65536) (i32.const 15000) (i32.const 3072))
        (drop (call $clone (local.get $handle)))";
    let path =
        "(drop (call $set_path (call $request (call $fields)) (i32.const 1) (i32.const 65536) (i32.const 30000)))";
    let body = "(call $body (call $request (call $fields)) (i32.const 3072))";
    [("headers", append), ("copies of headers", copy), ("paths", path), ("bodies", body)].map(|(what, hoard)| {
        let fill = "(memory.fill (i32.const 65536) (i32.const 97) (i32.const 30000))";
        (what, http_stub().first(&format!("{fill} {}", repeat(200, hoard))))
    })
}

fn http_stub() -> Stub {
    Stub::new(Kind::Scaling)
        .wasi(
            "wasi:io/poll@0.2.0",
            r#"(import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#,
        )
        .wasi(
            "wasi:io/streams@0.2.0",
            r#"(import "wasi:io/streams@0.2.0" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))"#,
        )
        .wasi("wasi:http/types@0.2.0", HTTP_IMPORTS)
        .wasi(
            "wasi:http/outgoing-handler@0.2.0",
            r#"(import "wasi:http/outgoing-handler@0.2.0" "handle" (func $handle (param i32 i32 i32 i32)))"#,
        )
}

const HTTP_IMPORTS: &str = r#"
    (import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
    (import "wasi:http/types@0.2.0" "[method]fields.append" (func $append (param i32 i32 i32 i32 i32 i32)))
    (import "wasi:http/types@0.2.0" "[method]fields.clone" (func $clone (param i32) (result i32)))
    (import "wasi:http/types@0.2.0" "[method]outgoing-request.body" (func $body (param i32 i32)))
    (import "wasi:http/types@0.2.0" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
    (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-path-with-query"
        (func $set_path (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-scheme"
        (func $set_scheme (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-authority"
        (func $set_authority (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types@0.2.0" "[method]future-incoming-response.subscribe"
        (func $subscribe (param i32) (result i32)))
    (import "wasi:http/types@0.2.0" "[method]future-incoming-response.get" (func $get (param i32 i32)))
    (import "wasi:http/types@0.2.0" "[method]incoming-response.consume" (func $consume (param i32 i32)))
    (import "wasi:http/types@0.2.0" "[method]incoming-body.stream" (func $stream (param i32 i32)))"#;

/// `$ask`, which stores its result in the count of the answer.
fn http_fields(authority: &str, path: &str) -> String {
    format!(
        r#"(data (i32.const 1024) "{authority}") (data (i32.const 2048) "{path}")
        (func $found (param $count i32) (i32.store (i32.const 264) (local.get $count)))
        (func $ask (local $request i32) (local $future i32)
            (local.set $request (call $request (call $fields)))
            (drop (call $set_scheme (local.get $request) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
            (if (i32.or
                    (call $set_authority
                        (local.get $request) (i32.const 1) (i32.const 1024) (i32.const {authority_length}))
                    (call $set_path (local.get $request) (i32.const 1) (i32.const 2048) (i32.const {path_length})))
                (then (call $found (i32.const 200)) (return)))
            (call $handle (local.get $request) (i32.const 0) (i32.const 0) (i32.const 3072))
            (if (i32.load8_u (i32.const 3072))
                (then (call $found (i32.add (i32.const 100) (i32.load8_u (i32.const 3080)))) (return)))
            (local.set $future (i32.load (i32.const 3080)))
            (call $block (call $subscribe (local.get $future)))
            (call $get (local.get $future) (i32.const 3072))
            (if (i32.load8_u (i32.const 3088))
                (then (call $found (i32.add (i32.const 100) (i32.load8_u (i32.const 3096)))) (return)))
            (call $consume (i32.load (i32.const 3096)) (i32.const 3072))
            (call $stream (i32.load (i32.const 3076)) (i32.const 3072))
            (call $read (i32.load (i32.const 3076)) (i64.const 64) (i32.const 3072))
            (call $found (i32.sub (i32.load8_u (i32.load (i32.const 3076))) (i32.const 48))))"#,
        authority_length = authority.len(),
        path_length = path.len(),
    )
}

/// Data segments that write 32-bit words.
fn words(words: &[(u32, u32)]) -> String {
    let segment = |&(at, word): &(u32, u32)| {
        let bytes: String = word.to_le_bytes().iter().map(|byte| format!("\\{byte:02x}")).collect();
        format!("(data (i32.const {at}) \"{bytes}\")\n")
    };
    words.iter().map(segment).collect()
}

/// The part of WASI 0.2 that the hostile components use.
const WASI: [(&str, &str); 8] = [
    (
        "cli-environment.wit",
        "package wasi:cli@0.2.1; interface environment { get-environment: func() -> list<tuple<string, string>>; get-arguments: func() -> list<string>; }",
    ),
    (
        "filesystem.wit",
        "package wasi:filesystem@0.2.1; interface types { resource descriptor; } interface preopens { use types.{descriptor}; get-directories: func() -> list<tuple<descriptor, string>>; }",
    ),
    (
        "io.wit",
        "package wasi:io@0.2.0;
        interface error { resource error; }
        interface poll { resource pollable { block: func(); } }
        interface streams {
            use error.{error};
            use poll.{pollable};
            variant stream-error { last-operation-failed(error), closed }
            resource input-stream { blocking-read: func(len: u64) -> result<list<u8>, stream-error>; }
            resource output-stream { blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>; }
        }",
    ),
    (
        "cli.wit",
        "package wasi:cli@0.2.0;
        interface stdout { use wasi:io/streams@0.2.0.{output-stream}; get-stdout: func() -> output-stream; }
        interface exit { exit: func(status: result); }
        interface environment { get-environment: func() -> list<tuple<string, string>>; }",
    ),
    (
        "clocks.wit",
        "package wasi:clocks@0.2.0;
        interface wall-clock { record datetime { seconds: u64, nanoseconds: u32 } now: func() -> datetime; }
        interface monotonic-clock {
            use wasi:io/poll@0.2.0.{pollable};
            now: func() -> u64;
            subscribe-duration: func(when: u64) -> pollable;
        }",
    ),
    (
        "sockets.wit",
        "package wasi:sockets@0.2.0;
        interface network {
            enum ip-address-family { ipv4, ipv6 }
            enum error-code {
                unknown, access-denied, not-supported, invalid-argument, out-of-memory, timeout, concurrency-conflict,
                not-in-progress, would-block, invalid-state, new-socket-limit, address-not-bindable, address-in-use,
                remote-unreachable, connection-refused, connection-reset, connection-aborted, datagram-too-large,
                name-unresolvable, temporary-resolver-failure, permanent-resolver-failure
            }
        }
        interface tcp { resource tcp-socket; }
        interface udp { resource udp-socket; }
        interface tcp-create-socket {
            use network.{error-code, ip-address-family};
            use tcp.{tcp-socket};
            create-tcp-socket: func(address-family: ip-address-family) -> result<tcp-socket, error-code>;
        }
        interface udp-create-socket {
            use network.{error-code, ip-address-family};
            use udp.{udp-socket};
            create-udp-socket: func(address-family: ip-address-family) -> result<udp-socket, error-code>;
        }",
    ),
    (
        "random.wit",
        "package wasi:random@0.2.0;
        interface random { get-random-bytes: func(len: u64) -> list<u8>; get-random-u64: func() -> u64; }",
    ),
    HTTP,
];

/// The part of `wasi:http` that a `GET` needs. All cases of `error-code` are present, since their numbers count.
const HTTP: (&str, &str) = ("http.wit", include_str!("hostile/http.wit"));

const GET_STDOUT: &str = r#"(import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))"#;
const WRITE_STREAM: &str = r#"(import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
    (func $write (param i32 i32 i32 i32)))"#;
const RANDOM_BYTES: &str = r#"(import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))"#;

/// The instructions, `count` times.
fn repeat(count: u32, instructions: &str) -> String {
    format!(
        "(local.set $i (i32.const {count}))
        (loop $again {instructions}
            (local.set $i (i32.sub (local.get $i) (i32.const 1)))
            (br_if $again (local.get $i)))"
    )
}

fn store(at: u32, word: u32) -> String {
    format!("(i32.store (i32.const {at}) (i32.const {word}))")
}

fn stores(words: &[(u32, u32)]) -> String {
    words.iter().map(|&(at, word)| store(at, word)).collect()
}

/// Spins for a number of rounds; a billion rounds take about half a second.
pub fn spins(rounds: u32) -> Stub {
    Stub::new(Kind::Scaling).first(&repeat(rounds, ""))
}

/// A well-behaved policy that always proposes this count.
pub fn proposes(replicas: u32) -> Stub {
    Stub::new(Kind::Scaling).first(&store(264, replicas))
}

/// Proposes one replica, and protects the replica at this index of the observation; `None` traps instead.
pub fn protects(place: Option<u32>) -> Stub {
    // 84: the offset of the list `replicas` among the arguments in the canonical ABI; its first field is the
    // identifier.
    let protect = place.map_or_else(
        || "unreachable".to_owned(),
        |place| {
            format!(
                r"(local.set $at (i32.add (i32.load offset=84 (local.get 0)) (i32.const {})))
                (i32.store (i32.const 304) (i32.const 0)) (i32.store (i32.const 308) (i32.const 320))
                (i32.store (i32.const 312) (i32.const 1))
                (i32.store (i32.const 320) (i32.load (local.get $at)))
                (i32.store (i32.const 324) (i32.load offset=4 (local.get $at)))
                (i32.const 304)",
                place * REPLICA_BYTES
            )
        },
    );
    protects_by(&protect)
}

/// Bytes of a `replica` in the canonical ABI: 56 before `usage`, which is an option of 40 bytes.
const REPLICA_BYTES: u32 = 104;

/// Proposes 1 replica if the current target count is this one, and traps otherwise.
pub fn knows_only(current: u32) -> Stub {
    // 80: the offset of `current-replicas` among the arguments of `decide` in the canonical ABI.
    let known = format!("(i32.eq (i32.load offset=80 (local.get 0)) (i32.const {current}))");
    Stub::new(Kind::Scaling).first(&format!("(if (i32.eqz {known}) (then (unreachable)))"))
}

/// Proposes 1 replica if its configuration is empty, and traps otherwise.
pub fn knows_only_the_empty_configuration() -> Stub {
    // 4: the offset of the length of the configuration among the arguments of `decide` in the canonical ABI.
    Stub::new(Kind::Scaling).first("(if (i32.ne (i32.load offset=4 (local.get 0)) (i32.const 2)) (then (unreachable)))")
}

/// Spins for a number of rounds whenever it is instantiated.
pub fn begins_slowly(rounds: u32) -> Stub {
    let spin = repeat(rounds, "");
    Stub::new(Kind::Scaling).fields(&format!("(func $begin (local $i i32) {spin}) (start $begin)"))
}

/// Recurses to a depth, then decides.
pub fn recurses(depth: u32) -> Stub {
    Stub::new(Kind::Scaling).first(&format!("(drop (call $deeper (i32.const {depth})))")).fields(
        "(func $deeper (param i32) (result i32)
            (if (result i32) (local.get 0)
                (then (i32.add (call $deeper (i32.sub (local.get 0) (i32.const 1))) (local.get 0)))
                (else (i32.const 0))))",
    )
}

/// Grows its memory by a number of pages of 64 KiB, then decides.
pub fn grows(pages: u32) -> Stub {
    Stub::new(Kind::Scaling).first(&format!("(drop (memory.grow (i32.const {pages})))"))
}

/// Has a number of further memories of some pages each, then decides.
pub fn has_memories(count: u32, pages: u32) -> Stub {
    let memories: String = (0..count).map(|number| format!("(memory $more{number} 0)")).collect();
    let grow: String =
        (0..count).map(|number| format!("(drop (memory.grow $more{number} (i32.const {pages})))")).collect();
    Stub::new(Kind::Scaling).fields(&memories).first(&grow)
}

/// Grows a table to a number of elements, then decides.
pub fn grows_table(elements: u32) -> Stub {
    Stub::new(Kind::Scaling)
        .fields("(table $table 0 funcref)")
        .first(&format!("(drop (table.grow $table (ref.null func) (i32.const {elements})))"))
}

/// Has a number of tables.
pub fn has_tables(count: u32) -> Stub {
    Stub::new(Kind::Scaling).fields(&"(table 1 funcref)".repeat(count as usize))
}

/// Instantiates its module a further number of times.
pub fn has_instances(count: u32) -> Vec<u8> {
    let mut bytes = Stub::new(Kind::Scaling).build();
    // A section of core instances: each instantiates module 0 with no arguments.
    let mut section = leb128(count);
    for _ in 0..count {
        section.extend([0, 0, 0]);
    }
    bytes.push(2);
    bytes.extend(leb128(u32::try_from(section.len()).expect("a small section")));
    bytes.extend(section);
    bytes
}

fn leb128(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

/// Opens a number of handles of its standard output and drops none.
pub fn holds_handles(count: u32) -> Stub {
    Stub::new(Kind::Scaling).wasi("wasi:cli/stdout@0.2.0", GET_STDOUT).first(&repeat(count, "(drop (call $stdout))"))
}

/// Requests a number of random bytes, a thousand at a time.
pub fn draws_random(thousands: u32) -> Stub {
    Stub::new(Kind::Scaling).wasi("wasi:random/random@0.2.0", RANDOM_BYTES).first(&repeat(
        thousands,
        "(call $random (i64.const 1000) (i32.const 1024)) (global.set $next (i32.const 131072))",
    ))
}

/// Proposes a random byte as the count.
pub fn decides_at_random() -> Vec<u8> {
    Stub::new(Kind::Scaling)
        .wasi("wasi:random/random@0.2.0", RANDOM_BYTES)
        .first(
            "(call $random (i64.const 1) (i32.const 1024))
            (i32.store (i32.const 264) (i32.load8_u (i32.load (i32.const 1024))))",
        )
        .build()
}

/// Proposes the seconds of its wall clock as the count.
pub fn decides_by_the_clock() -> Vec<u8> {
    let imports = r#"(import "wasi:clocks/wall-clock@0.2.0" "now" (func $now (param i32)))"#;
    Stub::new(Kind::Scaling)
        .wasi("wasi:clocks/wall-clock@0.2.0", imports)
        .first("(call $now (i32.const 1024)) (i32.store (i32.const 264) (i32.load (i32.const 1024)))")
        .build()
}

/// Returns a reason of a number of bytes.
pub fn reasons(bytes: u32) -> Stub {
    Stub::new(Kind::Scaling).first(&store(272, bytes))
}

/// A well-behaved policy with a reason of a number of bytes of text.
pub fn tells_at_length(bytes: u32) -> Stub {
    let text = "because ".repeat(bytes as usize / 8);
    Stub::new(Kind::Scaling)
        .fields(&format!("(data (i32.const 8192) \"{text}\")"))
        .first(&stores(&[(268, 8192), (272, text.len() as u32)]))
}

/// Returns a memory of a number of bytes.
pub fn remembers(bytes: u32) -> Stub {
    Stub::new(Kind::Scaling).first(&stores(&[(276, 0), (280, bytes)]))
}

/// Returns a number of assessments whose reasons share the same bytes.
pub fn amplifies(assessments: u32, bytes: u32) -> Stub {
    let fill = format!(
        "(i32.store (i32.add (i32.const 4096) (i32.mul (local.get $i) (i32.const 20))) (i32.const 96))
        (i32.store (i32.add (i32.const 4100) (i32.mul (local.get $i) (i32.const 20))) (i32.const 1))
        (i32.store (i32.add (i32.const 4108) (i32.mul (local.get $i) (i32.const 20))) (i32.const 65536))
        (i32.store (i32.add (i32.const 4112) (i32.mul (local.get $i) (i32.const 20))) (i32.const {bytes}))"
    );
    Stub::new(Kind::Health).first(&format!(
        "{} {}",
        repeat(assessments, &fill),
        stores(&[(260, 4_116), (264, assessments)])
    ))
}

/// Writes a number of log lines of some bytes each, then decides.
pub fn floods_log(lines: u32, bytes: u32) -> Stub {
    let line = format!("(call $log (i32.const 1) (i32.const 20480) (i32.const {bytes}))");
    Stub::new(Kind::Scaling)
        .log()
        .first(&format!("(memory.fill (i32.const 20480) (i32.const 65) (i32.const {bytes})) {}", repeat(lines, &line)))
}

/// Writes 4 KiB a number of times to its standard output, then decides.
pub fn floods_output(writes: u32) -> Stub {
    Stub::new(Kind::Scaling)
        .wasi("wasi:cli/stdout@0.2.0", GET_STDOUT)
        .wasi("wasi:io/streams@0.2.0", WRITE_STREAM)
        .first(&format!(
            "(memory.fill (i32.const 20480) (i32.const 66) (i32.const 4096)) (local.set $handle (call $stdout)) {}",
            repeat(writes, "(call $write (local.get $handle) (i32.const 20480) (i32.const 4096) (i32.const 1024))")
        ))
}

/// A core function that is slow to compile: `locals` live values, mixed `steps` times.
pub fn compiles_long(locals: u32, steps: u32) -> Vec<u8> {
    let declared: String = (0..locals).map(|number| format!("(local $v{number} i64)")).collect();
    let mixed: String = (0..steps)
        .map(|step| {
            let (a, b) = (step % locals, (step * 7 + 3) % locals);
            format!(
                "(if (i64.lt_u (local.get $v{a}) (i64.const {step})) (then (local.set $v{b} (i64.add (local.get $v{a}) (i64.const {step})))))"
            )
        })
        .collect();
    Stub::new(Kind::Scaling).fields(&format!("(func (export \"big\") {declared} {mixed})")).build()
}

/// Types of which each is twice the one before: a few bytes that expand to 2^times.
pub fn doubling_types(times: u32) -> Vec<u8> {
    let doubled: String = (1..=times).map(|n| format!("(type $t{n} (tuple $t{0} $t{0}))", n - 1)).collect();
    let text =
        format!("(component (type $t0 (tuple u64 u64)) {doubled} (import \"f\" (func (param \"x\" $t{times}))))");
    wat::parse_str(text).expect("it is WAT")
}

/// A list of a list of a list.
pub fn deep_types(depth: u32) -> Vec<u8> {
    let lists: String = (1..=depth).map(|n| format!("(type $t{n} (list $t{}))", n - 1)).collect();
    wat::parse_str(format!("(component (type $t0 (list u8)) {lists})")).expect("it is WAT")
}

/// Records without a use.
pub fn many_types(count: u32) -> Vec<u8> {
    let records: String = (0..count).map(|n| format!("(type (record (field \"a{n}\" u8)))")).collect();
    wat::parse_str(format!("(component {records})")).expect("it is WAT")
}

/// A component with a number of zero bytes in a section that no reader interprets.
pub fn padded(component: &[u8], bytes: u32) -> Vec<u8> {
    let mut padded = component.to_vec();
    padded.push(0);
    let mut rest = bytes + 1;
    while rest >= 0x80 {
        padded.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    padded.push(rest as u8);
    // A name of no bytes, then the content.
    padded.resize(padded.len() + bytes as usize + 1, 0);
    padded
}

/// Traps while checking a configuration.
pub fn traps_configuring() -> Stub {
    configures_by("(unreachable)")
}

/// Runs these instructions while checking a configuration; they leave the address of the answer.
fn configures_by(instructions: &str) -> Stub {
    Stub { configure: instructions.to_owned(), ..Stub::new(Kind::Scaling) }
}

/// Requests a number of metrics whose names share the same bytes.
pub fn requires_many(metrics: u32) -> Stub {
    Stub { pages: 700, ..Stub::new(Kind::Scaling).fields(&words(&[(196, 4_096), (200, metrics)])) }
}

/// Requests a number of metrics whose names differ and have four characters each.
pub fn requires_distinct(metrics: u32) -> Stub {
    let names: String = (0..metrics).map(|number| format!("{number:04x}")).collect();
    let request = |number: u32| [4 * number + 1_048_576, 4, 60_000, 0].map(u32::to_le_bytes).concat();
    let requests: Vec<u8> = (0..metrics).flat_map(request).collect();
    let requests: String = requests.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let data = format!(r#"(data (i32.const 2097152) "{requests}") (data (i32.const 1048576) "{names}")"#);
    Stub { pages: 48, ..Stub::new(Kind::Scaling).fields(&words(&[(196, 2_097_152), (200, metrics)])).fields(&data) }
}

/// Proposes one replica, and runs these instructions in its protection call; they leave the address of the answer.
pub fn protects_by(instructions: &str) -> Stub {
    let mut stub = proposes(1).fields(&format!(
        r#"(func (export "windlass:policy/protection@0.1.0#protected") (param i32) (result i32)
            (local $at i32) {instructions})"#
    ));
    stub.pages = 700;
    stub.world.push_str("export protection;\n");
    stub
}

/// Instructions of a health policy that returns no assessment of any replica.
pub fn says_nothing() -> String {
    store(264, 0)
}

/// Answers that the observation is not enough for a decision.
pub fn knows_nothing() -> Stub {
    Stub::new(Kind::Scaling).first(&stores(&[(256, 1), (264, 1), (268, 80), (272, 7)]))
}

/// Describes its configuration with this JSON Schema.
pub fn has_schema(schema: &str) -> Stub {
    let at = words(&[(152, 8_192), (156, schema.len() as u32)]);
    let text = schema.replace('"', "\\\"");
    Stub::new(Kind::Scaling).fields(&format!("{at} (data (i32.const 8192) \"{text}\")"))
}

/// A few lines that expand to 2^40 lines.
fn doubling_schema() -> String {
    let each = (1..=40).map(|at| {
        let before = format!(r##"{{"$ref": "#/$defs/{}"}}"##, at - 1);
        format!(r#""{at}": {{"allOf": [{before}, {before}]}}"#)
    });
    let all = each.collect::<Vec<_>>().join(", ");
    format!(r##"{{"$defs": {{"0": {{}}, {all}}}, "$ref": "#/$defs/40"}}"##)
}

/// The answer to a component that uses the asynchronous part of the component model.
const ASYNC: &str = "it is built for component-model async (WASI 0.3), which this host does not offer; build it for WASI 0.2 \
                     with synchronous functions, in Rust with the target `wasm32-wasip2`";

/// Every hostile component that the host's default limits must contain.
pub fn all() -> Vec<Hostile> {
    use Expect::{Configure, Harmless, Health, NotLoaded, Protect, Scaling};
    use FailureKind::{InsufficientData, Memory, Output, Refused, Time, Trap};
    let scaling = || Stub::new(Kind::Scaling);
    let health = || Stub::new(Kind::Health);
    let endless = "(loop $for_ever (br $for_ever))";
    let millions = "more than 1048576 bytes in one call";
    let component = |name, stub: Stub, expect| Hostile { name, bytes: stub.build(), expect };
    let file = |name, bytes: Vec<u8>, expect| Hostile { name, bytes, expect };
    let changed = |mut stub: Stub, change: &dyn Fn(&mut Stub)| {
        change(&mut stub);
        stub
    };
    let whole = scaling().build();
    vec![
        // Time
        component("endless-loop", scaling().first(endless), Scaling(Time, "it ran longer than 250 ms")),
        component("endless-evaluation", health().first(endless), Health(Time, "it ran longer than 250 ms")),
        component(
            "endless-start",
            scaling().fields(&format!("(func $spin {endless}) (start $spin)")),
            NotLoaded("its function `describe` failed: time: it ran longer than 1000 ms"),
        ),
        component(
            "endless-describe",
            changed(scaling(), &|stub| stub.describe = format!("{endless} {DESCRIPTION}")),
            NotLoaded("its function `describe` failed: time: it ran longer than 1000 ms"),
        ),
        component(
            "sleeps",
            scaling()
                .wasi(
                    "wasi:clocks/monotonic-clock@0.2.0",
                    r#"(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $sleep (param i64) (result i32)))"#,
                )
                .wasi("wasi:io/poll@0.2.0", r#"(import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#)
                .first("(call $block (call $sleep (i64.const 3600000000000)))"),
            Scaling(Time, "it ran longer than 250 ms"),
        ),
        // Traps
        component("traps", scaling().first("(unreachable)"), Scaling(Trap, "code marked unreachable")),
        component("traps-evaluating", health().first("(unreachable)"), Health(Trap, "code marked unreachable")),
        component(
            "traps-describing",
            changed(scaling(), &|stub| stub.describe = "(unreachable)".to_owned()),
            NotLoaded("its function `describe` failed: trap: it gave up"),
        ),
        component(
            "traps-starting",
            scaling().fields("(func $trap (unreachable)) (start $trap)"),
            NotLoaded("its function `describe` failed: trap: it gave up"),
        ),
        component(
            "divides-by-zero",
            scaling().first("(drop (i32.div_u (i32.const 1) (local.get $i)))"),
            Scaling(Trap, "integer divide by zero"),
        ),
        component(
            "reads-out-of-bounds",
            scaling().first("(drop (i32.load (i32.const -8)))"),
            Scaling(Trap, "out of bounds memory access"),
        ),
        component("deep-recursion", recurses(100_000_000), Scaling(Trap, "it ran out of its stack of 524288 bytes")),
        component(
            "exits",
            scaling()
                .wasi("wasi:cli/exit@0.2.0", r#"(import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))"#)
                .first("(call $exit (i32.const 1))"),
            Scaling(Trap, "it called `exit` with status 1"),
        ),
        // Memory
        component("grows-memory", grows(1_025), Scaling(Memory, "at most 67108864 are given")),
        component("grows-several-memories", has_memories(3, 400), Scaling(Memory, "at most 67108864 are given")),
        component("grows-a-table", grows_table(100_001), Scaling(Memory, "a table of 100001 elements")),
        component("five-memories", has_memories(4, 0), NotLoaded("it needs more than a policy may have")),
        component("many-tables", has_tables(21), NotLoaded("it needs more than a policy may have")),
        file("many-instances", has_instances(80), NotLoaded("it needs more than a policy may have")),
        component("holds-handles", holds_handles(1_001), Scaling(Memory, "more than 1000 resource handles")),
        component("draws-random", draws_random(66), Scaling(Memory, "more than 65536 random bytes")),
        // Output
        component("long-reason", reasons(1_025), Scaling(Output, "a reason of 1025 bytes; at most 1024")),
        component("large-memory", remembers(65_537), Scaling(Output, "65537 bytes of memory; at most 65536")),
        component("amplifier", amplifies(100, 60_000), Health(Output, "more than 1048576 bytes in one call")),
        component("huge-list", amplifies(3, 1), Health(Output, "3 assessments, but the observation has 2 replicas")),
        component(
            "unknown-replica",
            health().first(&stores(&[(400, 98), (404, 8)])),
            Health(Output, "the replica `stranger`, which is not in the observation"),
        ),
        component(
            "list-of-millions",
            changed(amplifies(2_000_000, 1), &|stub| stub.pages = 700),
            Health(Output, "more than 1048576 bytes in one call"),
        ),
        component("replica-twice", amplifies(2, 1), Health(Output, "two assessments of the replica `a`")),
        component(
            "unknown-status",
            health().first(&store(408, 77)),
            Health(Output, "it returned what cannot be read: unexpected discriminant: 77"),
        ),
        component(
            "text-out-of-bounds",
            scaling().first(&store(268, 0xffff_0000)),
            Scaling(Output, "it returned what cannot be read"),
        ),
        component(
            "answer-out-of-bounds",
            changed(scaling(), &|stub| stub.answer = "(i32.const -8)".to_owned()),
            Scaling(Output, "it returned what cannot be read: pointer out of bounds"),
        ),
        component(
            "damaged-text",
            scaling().fields(r#"(data (i32.const 600) "\ff\fe\80")"#).first(&stores(&[(268, 600), (272, 3)])),
            Scaling(Output, "it returned what cannot be read: invalid utf-8"),
        ),
        // Refusals
        component(
            "invalid-config",
            scaling().first(&stores(&[(256, 1), (264, 0), (268, 80), (272, 7)])),
            Scaling(Refused, "its configuration is wrong: as told"),
        ),
        component(
            "insufficient-data",
            knows_nothing(),
            Scaling(InsufficientData, "not enough facts to decide: as told"),
        ),
        component(
            "fails",
            health().first(&stores(&[(256, 1), (260, 2), (264, 80), (268, 7)])),
            Health(Refused, "it failed: as told"),
        ),
        // The host provides nothing through WASI: the stub traps if it finds an argument, a variable or a folder
        component(
            "looks-around",
            scaling()
                .wasi(
                    "wasi:cli/environment@0.2.1",
                    r#"(import "wasi:cli/environment@0.2.1" "get-environment" (func $environment (param i32)))
                       (import "wasi:cli/environment@0.2.1" "get-arguments" (func $arguments (param i32)))"#,
                )
                .wasi(
                    "wasi:filesystem/preopens@0.2.1",
                    r#"(import "wasi:filesystem/preopens@0.2.1" "get-directories" (func $folders (param i32)))"#,
                )
                .first(
                    "(call $environment (i32.const 700)) (call $arguments (i32.const 708)) (call $folders (i32.const 716))
                     (if (i32.or (i32.load (i32.const 704)) (i32.or (i32.load (i32.const 712)) (i32.load (i32.const 720))))
                         (then (unreachable)))",
                ),
            Harmless,
        ),
        component(
            "opens-sockets",
            scaling()
                .wasi(
                    "wasi:sockets/tcp-create-socket@0.2.0",
                    r#"(import "wasi:sockets/tcp-create-socket@0.2.0" "create-tcp-socket" (func $tcp (param i32 i32)))"#,
                )
                .wasi(
                    "wasi:sockets/udp-create-socket@0.2.0",
                    r#"(import "wasi:sockets/udp-create-socket@0.2.0" "create-udp-socket" (func $udp (param i32 i32)))"#,
                )
                // The stub traps if it obtains a resource, or an error other than `access-denied`.
                .first(
                    "(call $tcp (i32.const 0) (i32.const 700)) (call $udp (i32.const 0) (i32.const 708))
                     (if (i32.or (i32.ne (i32.load8_u (i32.const 700)) (i32.const 1))
                                 (i32.or (i32.ne (i32.load8_u (i32.const 704)) (i32.const 1))
                                         (i32.ne (i32.load8_u (i32.const 708)) (i32.const 1))))
                         (then (unreachable)))",
                ),
            Harmless,
        ),
        // Another patch version of the contract is the same contract
        component("newer-patch", changed(scaling(), &|stub| stub.exports_version = "0.1.7"), Harmless),
        // Truncated, without a failure
        component("floods-log", floods_log(1_000, 2_000), Harmless),
        component("floods-output", floods_output(100), Harmless),
        component(
            "grows-past-its-own-maximum",
            scaling()
                .fields("(memory $small 1 2)")
                .first("(if (i32.ne (memory.grow $small (i32.const 2)) (i32.const -1)) (then (unreachable)))"),
            Harmless,
        ),
        // Files that are not policies
        file("empty", Vec::new(), NotLoaded("the file is empty")),
        file("text", b"(component)\n".to_vec(), NotLoaded("the file is text")),
        file("core-module", b"\0asm\x01\0\0\0".to_vec(), NotLoaded("a core WebAssembly module, not a component")),
        file("not-wasm", vec![0x7f, 0, 3, 4, 0xff, 0, 0, 0, 0], NotLoaded("it does not begin with the bytes")),
        file(
            "gzip",
            b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec(),
            NotLoaded("the file is compressed with gzip; decompress it with `gunzip` and push the component inside"),
        ),
        file(
            "zstd",
            b"\x28\xb5\x2f\xfd\0".to_vec(),
            NotLoaded("the file is compressed with zstd; decompress it with `unzstd` and push the component inside"),
        ),
        file(
            "async-import",
            wat::parse_str(
                r#"(component (import "wasi:http/handler@0.3.0" (instance (export "handle" (func async)))))"#,
            )
            .expect("it is WAT"),
            NotLoaded(ASYNC),
        ),
        file("stream", wat::parse_str("(component (type (stream u8)))").expect("it is WAT"), NotLoaded(ASYNC)),
        file(
            "async-builtin",
            wat::parse_str("(component (core func (canon backpressure.inc)))").expect("it is WAT"),
            NotLoaded(ASYNC),
        ),
        file(
            "wasi-0.3",
            wat::parse_str(
                r#"(component
                    (import "wasi:random/random@0.3.0-rc-2025-09-16" (instance))
                    (import "wasi:cli/environment@0.3.0" (instance))
                    (instance $i)
                    (export "windlass:policy/health@0.1.0" (instance $i)))"#,
            )
            .expect("it is WAT"),
            NotLoaded(
                "it imports `wasi:random/random@0.3.0-rc-2025-09-16`, but this host offers WASI 0.2; build it for that \
                 version, in Rust with the target `wasm32-wasip2`",
            ),
        ),
        file("truncated", whole[..whole.len() / 2].to_vec(), NotLoaded("it is not a valid component")),
        file("only-a-header", whole[..8].to_vec(), NotLoaded("it exports neither")),
        file("doubling-types", doubling_types(40), NotLoaded("effective type size exceeds the limit")),
        file("deep-types", deep_types(200_000), NotLoaded("it is not a valid component")),
        file("many-types", many_types(200_000), NotLoaded("it exports neither")),
        file("bare-component", wat::parse_str("(component)").expect("it is WAT"), NotLoaded("it exports neither")),
        // Schemas, which the host applies
        component(
            "doubling-schema",
            has_schema(&doubling_schema()),
            NotLoaded("`config-schema` has more than 10000 values"),
        ),
        component(
            "endless-schema",
            has_schema(r##"{"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}"##),
            NotLoaded("or refers to itself"),
        ),
        component(
            "foreign-schema",
            has_schema(r#"{"$ref": "http://127.0.0.1:1/schema.json"}"#),
            NotLoaded("refers to `http://127.0.0.1:1/schema.json`; expected `#/`"),
        ),
        // Links
        file(
            "no-manifest",
            wat::parse_str(r#"(component (instance $i) (export "windlass:policy/scaling@0.1.0" (instance $i)))"#).expect("it is WAT"),
            NotLoaded("it does not export `windlass:policy/manifest@0.1.0`"),
        ),
        file(
            "no-decide",
            wat::parse_str(r#"(component (instance $i) (export "windlass:policy/scaling@0.1.0" (instance $i)))"#).expect("it is WAT"),
            NotLoaded("its export `windlass:policy/scaling@0.1.0` lacks the function `decide`"),
        ),
        component(
            "other-version",
            changed(scaling(), &|stub| stub.exports_version = "0.2.0"),
            NotLoaded("it exports `windlass:policy/scaling@0.2.0`, but this host implements windlass:policy@0.1.0"),
        ),
        file(
            "imports-other-version",
            wat::parse_str(
                r#"(component
                    (import "windlass:policy/log@0.2.0" (instance (export "write" (func))))
                    (instance $i)
                    (export "windlass:policy/health@0.1.0" (instance $i)))"#,
            )
            .expect("it is WAT"),
            NotLoaded("it imports `windlass:policy/log@0.2.0`, but this host implements windlass:policy@0.1.0"),
        ),
        file(
            "imports-other-type",
            wat::parse_str(
                r#"(component
                    (import "windlass:policy/readiness@0.1.0" (instance
                        (export "first-ready-at" (func (param "replica-id" string) (result bool)))))
                    (instance $i)
                    (export "windlass:policy/health@0.1.0" (instance $i)))"#,
            )
            .expect("it is WAT"),
            NotLoaded("the function `first-ready-at` of `windlass:policy/readiness@0.1.0` has another type"),
        ),
        component(
            "other-types",
            changed(scaling(), &|stub| stub.wit = stub.wit.replace("restarts: u32,", "restarts: u64,")),
            NotLoaded("the function `decide` of `windlass:policy/scaling@0.1.0` has another type"),
        ),
        file(
            "foreign-import",
            wat::parse_str(
                r#"(component
                    (import "wasi:http/outgoing-handler@0.2.0" (instance (export "handle" (func))))
                    (import "acme:metrics/query@1.0.0" (instance (export "get" (func))))
                    (instance $i)
                    (export "windlass:policy/health@0.1.0" (instance $i)))"#,
            )
            .expect("it is WAT"),
            NotLoaded(
                "it imports `acme:metrics/query@1.0.0`, which the host does not offer: the world \
                 `windlass:policy/health-policy@0.1.0` imports",
            ),
        ),
        component(
            "bad-schema",
            scaling().fields(r#"(data (i32.const 64) "[]")"#),
            NotLoaded("`config-schema` is not a JSON Schema"),
        ),
        component(
            "bad-version",
            scaling().fields(r#"(data (i32.const 32) "1.0-\1b")"#),
            NotLoaded("`version` is `1.0-`; expected a semantic version"),
        ),
        component(
            "bad-name",
            scaling().fields(r#"(data (i32.const 16) "Host\1b[2")"#),
            NotLoaded("`name` is `Host[2`; expected 1 to 63"),
        ),
        // Further exports
        component(
            "endless-configure",
            configures_by(&format!("{endless} (i32.const 192)")),
            Configure(Time, "it ran longer than 1000 ms"),
        ),
        component("traps-configuring", traps_configuring(), Configure(Trap, "code marked unreachable")),
        component("requires-millions", requires_many(1_000_000), Configure(Output, millions)),
        component(
            "requires-thousands",
            requires_distinct(25_000),
            Configure(Output, "it requests 25000 metrics; at most 64 are allowed"),
        ),
        component(
            "requires-oddly",
            scaling().requires("Queue depth", 60_000),
            Configure(Output, "it requests the metric `Queue depth`; a metric's name is 1 to 63 lower-case letters"),
        ),
        component(
            "endless-protected",
            protects_by(&format!("{endless} (i32.const 304)")),
            Protect(Time, "it ran longer than 250 ms"),
        ),
        component("traps-protecting", protects_by("(unreachable)"), Protect(Trap, "code marked unreachable")),
        component(
            "protects-millions",
            protects_by(&format!("{} (i32.const 304)", stores(&[(304, 0), (308, 4_096), (312, 2_000_000)]))),
            Protect(Output, millions),
        ),
    ]
}
