//! Tests of loading configurations, and of the errors for invalid ones.

use crate::config::load::default_data_dir;
use crate::config::{Config, LogFormat, Overrides, Surroundings, load};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use windlass_core::settings::{
    ApiSettings, ControlSettings, EngineKind, EngineSettings, LocalAccess, PolicyLimits, PolicyOrigin,
};

/// Loads a file with this text in this environment.
fn load_text(text: &str, overrides: Overrides, environment: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("windlass.toml");
    fs::write(&path, text).expect("written");
    let variable =
        |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
    let surroundings = Surroundings { variable: &variable, is_root: false };
    let overrides = Overrides { file: Some(path), ..overrides };
    load(&overrides, &surroundings)
        .map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

/// Writes a file that only its owner may read.
fn write_secret(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("changed");
}

const HOME: &[(&str, &str)] = &[("HOME", "/home/ann")];

fn error_of(text: &str) -> String {
    load_text(text, Overrides::default(), HOME).expect_err("refused")
}

fn of(text: &str) -> Config {
    load_text(text, Overrides::default(), HOME).expect("a configuration")
}

#[test]
fn an_empty_file_is_the_defaults() {
    let config = of("");
    assert_eq!(config.api, ApiSettings::default());
    assert_eq!(config.engine, EngineSettings::default());
    assert_eq!(config.control, ControlSettings::default());
    assert_eq!(config.policy, PolicyLimits::default().into());
    assert_eq!(config.store.data_dir, Path::new("/home/ann/.local/state/windlass"));
    assert_eq!((config.log.filter.as_str(), config.log.format), ("info", LogFormat::Auto));
}

#[test]
fn what_is_shown_says_everything_and_comes_to_the_same() {
    let config = of("");
    let shown = config.to_toml();
    insta::assert_snapshot!(shown, @r#"
    [api]
    listen = "127.0.0.1:8000"
    local = "full"
    insecure = false
    body_bytes = "1MiB"
    header_timeout = "10s"
    write_timeout = "30s"
    concurrent_requests = 256
    requests_per_peer = 128
    connections = 1024
    connections_per_peer = 512
    streams = 1024
    streams_per_peer = 512
    shutdown_grace = "30s"

    [engine]
    kind = "docker"
    instance = "default"
    host_network = false
    call_timeout = "30s"
    pull_timeout = "10m"
    concurrent_actions = 4
    sample_interval = "5s"

    [control]
    interval = "15s"
    stop_grace = "10s"
    backoff_base = "10s"
    backoff_max = "5m"
    backoff_reset = "10m"
    restart_limit = 12
    heal_share = 0.3333333333333333
    probes_kept = 10
    early_passes = 720
    decisions_kept = 1000

    [control.scaling_config]

    [control.health_config]

    [policy]
    decision_time = "250ms"
    manifest_time = "1s"
    memory_bytes = "64MiB"
    table_elements = 100000
    hostcall_bytes = "1MiB"
    handles = 1000
    random_bytes = "64KiB"
    log_lines = 32
    log_line_bytes = "1KiB"
    output_bytes = "16KiB"
    returned_memory_bytes = "64KiB"
    reason_bytes = "1KiB"
    revisions_kept = 10
    trial_calls = 20
    trial_failures = 3
    failures_in_row = 5
    component_bytes = "40MiB"
    compile_time = "30s"
    compile_memory_bytes = "2GiB"
    memories = 4
    core_instances = 64
    tables = 20
    stack_bytes = "512KiB"
    concurrent_calls = 8
    policies = 100
    loaded_bytes = "512MiB"
    stored_bytes = "2GiB"

    [policies]

    [discovery]
    command_timeout = "10s"
    webhook_timeout = "5s"
    leave_timeout = "5s"

    [network]
    private_addresses = true
    allowed_networks = []

    [store]
    data_dir = "/home/ann/.local/state/windlass"
    max_bytes = "1GiB"
    decision_bytes = "2MiB"
    workload_bytes = "64MiB"
    daily_bytes = "256MiB"
    audit_kept = 10000
    audit_age = "1year"

    [log]
    filter = "info"
    format = "auto"
    "#);
    let again = of(&shown);
    assert_eq!(Config { file: config.file.clone(), ..again }, config);
}

#[test]
fn every_section_is_understood() {
    let config = of(r#"
        [api]
        listen = "[::1]:9000"
        body_bytes = "64KiB"
        header_timeout = "250ms"
        [engine]
        kind = "swarm"
        instance = "blue"
        host = "tcp://10.0.0.1:2375"
        concurrent_actions = 8
        [control]
        heal_share = 0.5
        backoff_max = "1m 30s"
        [control.health_config]
        failures = 3
        grace = { seconds = 2.5 }
        [policy]
        memory_bytes = "128MiB"
        [store]
        data_dir = "/data"
        [log]
        filter = "warn,windlass=debug"
        format = "json"
    "#);
    assert_eq!(config.api.listen.to_string(), "[::1]:9000");
    assert_eq!((config.api.body_bytes, config.api.header_timeout), (64 << 10, Duration::from_millis(250)));
    assert_eq!((config.engine.instance.as_str(), config.engine.concurrent_actions), ("blue", 8));
    assert_eq!(config.engine.host.as_deref(), Some("tcp://10.0.0.1:2375"));
    assert_eq!(config.engine.kind, EngineKind::Swarm);
    assert_eq!(config.control.heal_share, 0.5);
    assert_eq!(config.control.backoff_max, Duration::from_secs(90));
    assert_eq!(config.control.health_config, r#"{"failures":3,"grace":{"seconds":2.5}}"#);
    assert_eq!(config.policy.limits.memory_bytes, 128 << 20);
    assert_eq!(config.store.data_dir, Path::new("/data"));
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn one_policy_has_a_source_and_limits_of_its_own_over_those_of_all() {
    let config = load_text(
        "policy.log_lines = 7\ncontrol.scaling_policy = 'queue'\n[policies.queue]\nsource = 'q.wasm'\nmemory_bytes = '128MiB'\n",
        Overrides::default(),
        HOME,
    )
    .expect("a configuration");
    let queue = &config.policy.named["queue"];
    assert_eq!((queue.limits.memory_bytes, queue.limits.log_lines), (128 << 20, 7));
    let folder = config.file.as_deref().and_then(Path::parent).expect("a folder");
    assert_eq!(
        queue.source,
        Some(PolicyOrigin::File(folder.join("q.wasm"))),
        "a relative path starts at the folder of the file"
    );
    assert_eq!((config.policy.limits.memory_bytes, config.policy.widest().memory_bytes), (64 << 20, 128 << 20));
    assert_eq!(config.control.scaling_policy.as_deref(), Some("queue"));
    let refused = |text| load_text(text, Overrides::default(), HOME).expect_err("refused");
    assert_eq!(
        refused("[policies.queue]\nmemory_bytes = '1GiB'"),
        "`policies.queue.memory_bytes` is 1GiB; expected 1MiB to 256MiB"
    );
    assert_eq!(
        refused("[policies.Queue]\n"),
        "`policies.Queue`: the name of a policy must be 1 to 63 lower-case letters, digits and hyphens"
    );
    assert_eq!(
        refused("[policies.queue]\nsource = 'ftp://x'\n"),
        "`policies.queue.source` is `ftp://x`; expected the path of a component, or `oci://host/repository:tag`"
    );
    assert!(refused("[policies.queue]\nsource = 'oci://queue'\n").contains("or `oci://host/repository:tag`"));
    let config = load_text("policies.q.source = 'oci://127.0.0.1:5000/q:1'", Overrides::default(), HOME);
    let source = config.expect("a configuration").policy.named["q"].source.clone();
    assert_eq!(source, Some(PolicyOrigin::Oci("127.0.0.1:5000/q:1".to_owned())));
    assert!(refused("[policies.queue]\nstack_bytes = '1MiB'\n").contains("unknown key `policies.queue.stack_bytes`"));
}

#[test]
fn access_to_metric_sources_is_checked_and_shown_without_secrets() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        write_secret(&path, text);
        path.display().to_string()
    };
    let (token, ca) = (file("token", "t0ken\n"), file("ca.pem", "-----BEGIN CERTIFICATE-----\n"));
    let config = of(&format!(
        "control.alert_url = 'https://ops:s3cret@alerts.example/?token=s3cret'
        discovery.webhook = 'http://hook.example/?api_key=s3cret&team=a'
        [metric_sources.main]
        hosts = ['https://prometheus.example:9090']
        bearer_token_file = '{token}'
        ca_file = '{ca}'
        headers = {{ X-Scope-OrgID = 's3cret' }}"
    ));
    let access = &config.metric_sources["main"];
    assert_eq!(access.headers["x-scope-orgid"].reveal(), "s3cret");
    let shown = config.to_toml();
    assert!(
        !shown.contains("s3cret") && !shown.contains("t0ken") && !format!("{access:?}").contains("s3cret"),
        "{shown}"
    );
    for part in [
        "alert_url = \"https://ops:***@alerts.example/?token=***\"",
        "webhook = \"http://hook.example/?api_key=***&team=a\"",
        "[metric_sources.main]\nhosts = [\"https://prometheus.example:9090\"]",
        "x-scope-orgid = \"***\"",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let refused = |keys: &str| error_of(&format!("[metric_sources.main]\n{keys}"));
    let host = "hosts = ['https://a']\n";
    for (keys, expected) in [
        (String::new(), "`metric_sources.main.hosts` is empty; list the hosts"),
        ("hosts = ['a']".to_owned(), "`metric_sources.main.hosts[0]` is `a`; "),
        (format!("{host}password_file = '{token}'"), "`metric_sources.main.password_file` is set without"),
        (
            format!("{host}username = 'a'\nbearer_token_file = '{token}'"),
            "`metric_sources.main` has a `bearer_token_file` and a `username`",
        ),
        (
            format!("{host}bearer_token_file = '/nowhere'"),
            "`metric_sources.main.bearer_token_file`: cannot read `/nowhere`: ",
        ),
        (format!("{host}ca_file = '{token}'"), "`metric_sources.main.ca_file`: `"),
        (format!("{host}headers = {{ 'a b' = 's3cret' }}"), "`metric_sources.main.headers` has `a b`, which is not"),
        (format!("{host}headers = {{ a = \"s3cret\\n\" }}"), "`metric_sources.main.headers.a` has characters"),
        (format!("{host}[metric_sources.other]\n{host}"), "`metric_sources.other.hosts` has https://a:443, as"),
        (format!("{host}token = 'a'"), ""),
    ] {
        let error = refused(&keys);
        let is_expected = if expected.is_empty() {
            error.contains("unknown key `metric_sources.main.token`")
        } else {
            error.starts_with(expected)
        };
        assert!(is_expected && !error.contains("s3cret"), "{keys}: {error}");
    }
    // A certificate is no secret, but a token is.
    for path in [&token, &ca] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("changed");
    }
    assert!(load_text(&format!("[metric_sources.main]\n{host}ca_file = '{ca}'"), Overrides::default(), HOME).is_ok());
    let expected = format!(
        "`metric_sources.main.bearer_token_file` is not secret: other users can access `{token}` (mode 0644); run `chmod 600 \
         {token}`"
    );
    assert_eq!(refused(&format!("{host}bearer_token_file = '{token}'")), expected);
}

#[test]
fn flags_and_environment_are_over_the_file() {
    let overrides = Overrides {
        listen: "127.0.0.1:1".parse().ok(),
        interval: Some(Duration::from_secs(3)),
        instance: Some("green".into()),
        engine_kind: Some(EngineKind::Docker),
        log_format: Some(LogFormat::Human),
        data_dir: Some("/elsewhere".into()),
        ..Overrides::default()
    };
    let text = "api.listen = '127.0.0.1:2'\nengine.instance = 'blue'\nengine.kind = 'swarm'\ncontrol.interval = '9s'\nlog.format = 'json'";
    let config = load_text(text, overrides, HOME).expect("a configuration");
    assert_eq!(config.api.listen.tcp.expect("an address").port(), 1);
    assert_eq!((config.engine.instance.as_str(), config.engine.kind), ("green", EngineKind::Docker));
    assert_eq!(config.control.interval, Duration::from_secs(3));
    assert_eq!(config.log.format, LogFormat::Human);
    assert_eq!(config.store.data_dir, Path::new("/elsewhere"));
    let short = Overrides { interval: Some(Duration::ZERO), ..Overrides::default() };
    assert_eq!(load_text("", short, HOME), Err("`control.interval` is 0s; expected 1s to 1h".to_owned()));
}

#[test]
fn unknown_keys_are_told_with_their_place_and_the_nearest_right_one() {
    let said: Vec<String> = [
        "[api]\nlisten = \"127.0.0.1:1\"\nlisen = 3\n",
        "[apy]\n",
        "[policy]\n  decision-time = \"1s\"\n",
        "[log]\ncolour = true\n",
        "api = { token = \"0123456789abcdef\" }\n",
    ]
    .map(error_of)
    .to_vec();
    insta::assert_snapshot!(said.join("\n"), @r"
    windlass.toml:3:1: unknown key `api.lisen`; did you mean `listen`?
    windlass.toml:1:2: unknown key `apy`; did you mean `api`?
    windlass.toml:2:3: unknown key `policy.decision-time`; did you mean `decision_time`?
    windlass.toml:2:1: unknown key `log.colour`; expected filter, format
    windlass.toml:1:9: unknown key `api.token`; did you mean `token_file`?
    ");
}

#[test]
fn wrong_values_are_told_with_their_place_and_what_is_expected() {
    let said: Vec<String> = [
        "[api]\nheader_timeout = 15\n",
        "[api]\nheader_timeout = \"15\"\n",
        "[api]\nbody_bytes = \"many\"\n",
        "[api]\nlisten = \"localhost\"\n",
        "[engine]\nconcurrent_actions = -1\n",
        "[engine]\nconcurrent_actions = \"four\"\n",
        "[log]\nformat = \"xml\"\n",
        "[api\n",
        "[api]\nconnections = 1\nconnections = 2\n",
    ]
    .map(error_of)
    .to_vec();
    insta::assert_snapshot!(said.join("\n"), @r#"
    windlass.toml:2:18: `api.header_timeout`: invalid type: integer `15`, expected a duration such as "250ms", "15s" or "5m"
    windlass.toml:2:18: `api.header_timeout`: `15` is not a length of time; expected such as `250ms`, `15s` or `5m`
    windlass.toml:2:14: `api.body_bytes`: `many` is not a size; expected such as `64KiB`, `1MiB` or `2GiB`
    windlass.toml:2:10: `api.listen`: expected an address and a port such as `127.0.0.1:8000`, or a Unix socket such as `unix:/run/windlass.sock`
    windlass.toml:2:22: `engine.concurrent_actions`: invalid value: integer `-1`, expected a whole number from 0
    windlass.toml:2:22: `engine.concurrent_actions`: invalid type: string "four", expected a whole number from 0
    windlass.toml:2:10: `log.format`: unknown variant `xml`, expected one of `auto`, `human`, `json`
    windlass.toml:1:5: unclosed table, expected `]`
    windlass.toml:3:1: duplicate key
    "#);
}

#[test]
fn values_out_of_range_are_told_all_at_once() {
    let said = error_of(
        r#"
        [api]
        body_bytes = "1GiB"
        connections = 0
        [engine]
        instance = "two words"
        [control]
        interval = "10ms"
        heal_share = 1.5
        backoff_base = "30m"
        [control.scaling_config]
        since = 2024-01-01
        [policy]
        decision_time = "6s"
        memory_bytes = "512MiB"
        [log]
        filter = "windlass=loud"
    "#,
    );
    insta::assert_snapshot!(said, @r#"
    `api.body_bytes` is 1GiB; expected 1KiB to 64MiB
    `api.connections` is 0; expected 1 to 65536
    `control.interval` is 10ms; expected 1s to 1h
    `control.heal_share` is 1.5; expected 0.001 to 1
    `policy.decision_time` is 6s; expected 1ms to 5s
    `policy.memory_bytes` is 512MiB; expected 1MiB to 256MiB
    `control.scaling_config` has a date or a number that JSON cannot express; write a date as text
    `engine.instance` is `two words`; expected 1 to 63 letters, digits, `-`, `_` and `.`
    `control.backoff_base` is above `control.backoff_max`; lower it or raise the maximum
    `log.filter` is `windlass=loud`; error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5
    "#);
    assert_eq!(error_of("control.heal_share = nan"), "`control.heal_share` is NaN; expected 0.001 to 1");
}

#[test]
fn alerts_are_posted_to_an_address() {
    let config = of("control.alert_url = 'https://example.org/alerts?key=1'\ncontrol.restart_limit = 0\n");
    assert_eq!(config.control.alert_url.as_deref(), Some("https://example.org/alerts?key=1"));
    assert_eq!(config.control.restart_limit, 0);
    for wrong in ["example.org", "ftp://example.org", "", "https://"] {
        let why = "`control.alert_url` is not an address; expected one such as `https://example.org/alerts`";
        assert_eq!(error_of(&format!("control.alert_url = '{wrong}'")), why);
    }
}

#[test]
fn an_address_that_others_reach_needs_a_token_or_a_word() {
    let open = "api.listen = \"0.0.0.0:8000\"\n";
    insta::assert_snapshot!(error_of(open), @"`api.listen` is 0.0.0.0:8000, which other machines can reach, but there is no token; name a file with a token (`--token-file`, `api.token_file`), set WINDLASS_TOKEN, or pass `--insecure` to let anyone run containers");
    assert!(of(&format!("{open}api.insecure = true")).insecure);
    let overrides = Overrides { insecure: Some(false), ..Overrides::default() };
    assert!(load_text(&format!("{open}api.insecure = true"), overrides, HOME).is_err());
    let environment = [("HOME", "/home/ann"), ("WINDLASS_TOKEN", " 0123456789abcdef\n")];
    let config = load_text(open, Overrides::default(), &environment).expect("a configuration");
    assert_eq!(config.api.token.as_deref(), Some("0123456789abcdef"));
    assert!(!config.to_toml().contains("0123456789abcdef"));
    assert!(!format!("{config:?}").contains("0123456789abcdef"));
}

#[test]
fn the_api_listens_on_an_address_a_socket_or_both() {
    let both =
        of("api.listen = ['127.0.0.1:1', 'unix:/run/w.sock']\napi.socket_group = 'ops'\napi.local = 'read-only'\n");
    assert_eq!(both.api.listen.to_string(), "127.0.0.1:1,unix:/run/w.sock");
    assert_eq!(both.api.local_access(), LocalAccess::ReadOnly);
    assert_eq!(Config { file: both.file.clone(), ..of(&both.to_toml()) }, both);
    assert_eq!(of("api.listen = 'unix:/run/w.sock'").api.listen.tcp, None);
    let overrides = Overrides { listen: "unix:/a".parse().ok(), ..Overrides::default() };
    let config = load_text("api.listen = '127.0.0.1:1'", overrides, HOME).expect("a configuration");
    assert_eq!(config.api.listen.to_string(), "unix:/a");

    let said: Vec<String> = [
        "api.listen = []",
        "api.listen = ['127.0.0.1:1', '127.0.0.1:2']",
        "api.listen = 'unix:w.sock'",
        "api.socket_group = 'ops'",
        "api.local = 'off'",
        "api.local = 'none'",
        "api.listen = ['0.0.0.0:1', 'unix:/a']\napi.insecure = true\napi.local = 'off'",
    ]
    .map(error_of)
    .to_vec();
    insta::assert_snapshot!(said.join("\n"), @r#"
    windlass.toml:1:14: `api.listen`: expected an address and a port such as `127.0.0.1:8000`, or a Unix socket such as `unix:/run/windlass.sock`
    windlass.toml:1:14: `api.listen`: expected at most one address and one Unix socket
    windlass.toml:1:14: `api.listen`: the path of a Unix socket is absolute: `unix:/run/windlass/windlass.sock`
    `api.socket_group` is set, but `api.listen` has no Unix socket; add one such as `unix:/run/windlass/windlass.sock`, or remove the group
    `api.local` limits callers on this machine, but there is neither a token nor a Unix socket, so nobody could change anything; set a token, or add a socket to `api.listen`
    windlass.toml:1:13: `api.local`: unknown variant `none`, expected one of `full`, `read-only`, `off`
    `api.local` limits callers on this machine, but `api.insecure` allows everything to callers on others; set a token
    "#);
}

#[test]
fn tokens_come_from_one_place_and_are_good_enough() {
    let folder = tempfile::tempdir().expect("a folder");
    let [good, short] = ["good", "short"].map(|name| folder.path().join(name));
    write_secret(&good, "fedcba9876543210\n");
    write_secret(&short, "fedcba\n");
    let flag = |path: &Path| Overrides { token_file: Some(path.to_owned()), ..Overrides::default() };
    let environment = [("HOME", "/home/ann"), ("WINDLASS_TOKEN", "0123456789abcdef")];
    let tell = |result: Result<Config, String>| {
        result.expect_err("refused").replace(&folder.path().display().to_string(), "DIR")
    };

    let config = load_text("", flag(&good), HOME).expect("a configuration");
    assert_eq!(config.api.token.as_deref(), Some("fedcba9876543210"));
    // The environment overrides `api.token_file`.
    let text = format!("api.token_file = {:?}", good.display().to_string());
    let config = load_text(&text, Overrides::default(), &environment).expect("a configuration");
    assert_eq!(config.api.token.as_deref(), Some("0123456789abcdef"));

    let exposed = folder.path().join("exposed");
    fs::copy(&good, &exposed).expect("copied");
    fs::set_permissions(&exposed, fs::Permissions::from_mode(0o640)).expect("changed");
    let said = [
        tell(load_text("", flag(&good), &environment)),
        tell(load_text("api.listen = '0.0.0.0:8000'", flag(&exposed), HOME)),
        tell(load_text("", flag(&short), HOME)),
        tell(load_text("", flag(&folder.path().join("none")), HOME)),
        tell(load_text("", Overrides::default(), &[("HOME", "/home/ann"), ("WINDLASS_TOKEN", "")])),
        tell(load_text("", Overrides::default(), &[("HOME", "/h"), ("WINDLASS_TOKEN", "0123456789 abcdef")])),
    ];
    insta::assert_snapshot!(said.join("\n"), @r"
    both WINDLASS_TOKEN and a token file (`--token-file`) are set; remove one of them
    the token is not secret: other users can access `DIR/exposed` (mode 0640); run `chmod 600 DIR/exposed`
    the token in `DIR/short` has 6 bytes; expected at least 16 bytes of visible ASCII without spaces (`openssl rand -hex 32` makes one)
    cannot read the token from `DIR/none`
    the token in WINDLASS_TOKEN has 0 bytes; expected at least 16 bytes of visible ASCII without spaces (`openssl rand -hex 32` makes one)
    the token in WINDLASS_TOKEN has 17 bytes; expected at least 16 bytes of visible ASCII without spaces (`openssl rand -hex 32` makes one)
    ");
}

#[test]
fn a_policy_is_granted_hosts_by_its_name() {
    let text = "[policies.queue.http]\nhosts = ['https://Metrics.example.org', 'http://[::1]:9090']\ntime = '2s'\n";
    let config = load_text(text, Overrides::default(), HOME).expect("accepted");
    let grant = config.policy.limits_of("queue").http.clone().expect("a grant");
    assert_eq!(
        grant.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["https://metrics.example.org:443", "http://[::1]:9090"]
    );
    assert_eq!((grant.time, grant.requests), (Duration::from_secs(2), 4));
    assert_eq!(config.policy.limits_of("other").http, None);
    let again =
        load_text(&config.to_toml(), Overrides::default(), HOME).expect("the printed configuration is accepted");
    assert_eq!(again.policy, config.policy);
    let refused = |text: &str| load_text(text, Overrides::default(), HOME).expect_err("refused");
    insta::assert_snapshot!(
        refused("[policies.q.http]\nhosts = ['example.org', 'http://a/b']\nrequests = 0\n"),
        @r#"
        `policies.q.http.requests` is 0; expected 1 to 64
        `policies.q.http.hosts[0]` is `example.org`; expected `https://host` or `http://host:port`, without a path
        `policies.q.http.hosts[1]` is `http://a/b`; expected `https://host` or `http://host:port`, without a path
        "#
    );
    insta::assert_snapshot!(refused("[policies.q.http]\n"), @r#"`policies.q.http.hosts` is empty; list the hosts that the policy may send requests to: `["https://host"]`"#);
    assert!(refused("[policy.http]\nhosts = ['http://a']\n").contains("unknown key `policy.http`"));
}

#[test]
fn a_grant_may_name_methods_and_paths() {
    let limited = "{ host = 'https://b', methods = ['GET', 'HEAD'], paths = ['/api/'] }";
    let text = format!("[policies.queue.http]\nhosts = ['https://a', {limited}]\n");
    let config = of(&text);
    let grant = config.policy.limits_of("queue").http.clone().expect("a grant");
    let shown: Vec<String> = grant.hosts.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["https://a:443", "GET, HEAD https://b:443 below /api/"]);
    assert_eq!(of(&config.to_toml()).policy, config.policy);
    let refused = error_of(
        "[policies.q.http]\nhosts = [{ host = 'b', methods = ['get'], paths = ['api', '/a/../b', '/a?b'] }]\n",
    );
    insta::assert_snapshot!(refused, @r"
    `policies.q.http.hosts[0].methods` has `get`; expected a method in upper case such as `GET`
    `policies.q.http.hosts[0].paths` has `api`; expected the beginning of a path such as `/api/`, without `..`
    `policies.q.http.hosts[0].paths` has `/a/../b`; expected the beginning of a path such as `/api/`, without `..`
    `policies.q.http.hosts[0].paths` has `/a?b`; expected the beginning of a path such as `/api/`, without `..`
    `policies.q.http.hosts[0].host` is `b`; expected `https://host` or `http://host:port`, without a path
    ");
    let unknown = error_of("[policies.q.http]\nhosts = [{ host = 'https://b', method = ['GET'] }]\n");
    assert!(unknown.contains("method") && unknown.contains("did you mean `methods`?"), "{unknown}");
}

#[test]
fn networks_and_the_hosts_of_registries_are_checked() {
    let config = of("[network]\nprivate_addresses = false\nallowed_networks = ['10.1.0.0/16', '::1', '127.0.0.1']\n\
         [registries.'registry.example:5000']\nhosts = ['https://auth.example']\n");
    let networks: Vec<String> = config.network.allowed_networks.iter().map(ToString::to_string).collect();
    assert_eq!(
        (config.network.private_addresses, networks.join(" ")),
        (false, "10.1.0.0/16 ::1/128 127.0.0.1/32".to_owned())
    );
    assert_eq!(config.registries["registry.example:5000"][0].to_string(), "https://auth.example:443");
    let again = of(&config.to_toml());
    assert_eq!((again.network, again.registries), (config.network, config.registries));
    let refused = error_of(
        "[network]\nallowed_networks = ['10.0.0.0/33', 'lan']\n\
         [registries.'https://a/b']\nhosts = ['a']\n[registries.a]\nhosts = []\n",
    );
    insta::assert_snapshot!(refused, @r#"
    `network.allowed_networks[0]` is `10.0.0.0/33`; expected a network such as `10.0.0.0/8`
    `network.allowed_networks[1]` is `lan`; expected a network such as `10.0.0.0/8`
    `registries."a".hosts` is empty; list the hosts that the registry may name: `["https://auth.example"]`
    `registries."https://a/b"`: the name must be the host of a registry: `host` or `host:port`
    `registries."https://a/b".hosts[0]` is `a`; expected `https://host` or `http://host:port`, without a path
    "#);
}

#[test]
fn the_data_directory_is_where_it_belongs() {
    let at = |environment: &[(&str, &str)], is_root| {
        let variable =
            |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
        default_data_dir(&Surroundings { variable: &variable, is_root }).map(|path| path.display().to_string())
    };
    assert_eq!(at(HOME, true).as_deref(), Some("/var/lib/windlass"));
    assert_eq!(at(HOME, false).as_deref(), Some("/home/ann/.local/state/windlass"));
    assert_eq!(at(&[("HOME", "/h"), ("XDG_STATE_HOME", "/state")], false).as_deref(), Some("/state/windlass"));
    assert_eq!(at(&[("HOME", "/h"), ("XDG_STATE_HOME", "state")], false).as_deref(), Some("/h/.local/state/windlass"));
    assert_eq!(at(&[], false), None);
    assert!(load_text("", Overrides::default(), &[]).expect_err("refused").contains("--data-dir"));
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let overrides = Overrides { file: Some("/nowhere/windlass.toml".into()), ..Overrides::default() };
    let surroundings = Surroundings { variable: &|_| None, is_root: true };
    let error = load(&overrides, &surroundings).expect_err("refused");
    assert_eq!(error.to_string(), "cannot read the configuration `/nowhere/windlass.toml`");
}

#[test]
fn what_is_wrong_with_those_who_are_told_of_replicas_is_told_with_its_name() {
    let settings = of(
        "discovery = { address = \"fd00::1\", file = \"/run/list\", check = [\"test\", \"{}\"], command = [\"true\"] }",
    )
    .discovery;
    let commands = (settings.check.len(), settings.command.len());
    assert_eq!((settings.address.as_deref(), commands), (Some("fd00::1"), (2, 1)));
    insta::assert_snapshot!(error_of("[discovery]\naddress = \"host:80\"\ntemplate = \"x\"\ncheck = [\"haproxy\"]\ncommand = []\nwebhook = \"list\"\nleave_timeout = \"2m\""), @r#"
    `discovery.leave_timeout` is 2m; expected 0s to 1m
    `discovery.address` is `host:80`; expected a host name or an IP address without a port
    `discovery.webhook` is `list`; expected an address such as `http://127.0.0.1:9000/`
    `discovery.template` is set without `discovery.file`; name the file that the template renders to
    `discovery.check` is set without `discovery.file`; name the file that it checks
    `discovery.check` does not name the new file; write `{}` in its place: `["haproxy", "-c", "-f", "{}"]`
    `discovery.command` is empty; expected a program and its arguments: `["systemctl", …]`
    "#);
}

#[test]
fn a_profile_has_the_fields_of_a_start_and_is_shown_as_it_is_read() {
    let config = of(r#"
        [profiles.web]
        scaling_policy = { name = "target-tracking", config = { metrics = [{ name = "load", target = 0.6 }] } }
        guardrails = { grace = "1m", scale_down = { window = "10m", rates = [{ percent = 10, per = "1m" }] } }
        stop_hook = { exec = { command = ["drain"] } }
        [profiles.web.probe.http]
        port = 80
        path = "/up"
        expect = { status = [204, "300-399"], headers = { x-ready = "yes" } }
        [profiles.web.metrics.load.prometheus]
        url = "http://prometheus.example:9090"
        query = "up"
        headers = { x-scope = "s3cret" }
        [profiles.idle]
    "#);
    let web = &config.control.profiles["web"];
    assert_eq!(web.scaling[0].config, r#"{"metrics":[{"name":"load","target":0.6}]}"#);
    assert_eq!(web.guardrails.as_ref().map(|guardrails| guardrails.grace), Some(Duration::from_secs(60)));
    assert!(web.probe.is_some() && web.stop_hook.is_some() && config.control.profiles.contains_key("idle"));
    let shown = config.to_toml();
    assert!(!shown.contains("s3cret"), "{shown}");
    // Without its secret, it comes to the same.
    let plain = shown.replace("***", "s3cret");
    assert_eq!(Config { file: config.file.clone(), ..of(&plain) }, config);
}

#[test]
fn the_problems_of_profiles_are_told_all_at_once() {
    insta::assert_snapshot!(error_of(r#"
        [profiles.Web]
        [profiles.web]
        min_replicas = 2
        guardrails = { grace = "2h", scale_up = { rates = [{ per = "1s" }] } }
        probe = { http = { port = 0 } }
        metrics = { load = { prometheus = { url = "http://a", query = "up", headers = { x = "***" } } } }
        [profiles.day]
        scaling_policy = { name = "schedule", config = { since = 2024-01-01 } }
    "#), @r"
    `profiles.Web`: the name of a profile must be 1 to 63 lower-case letters, digits and hyphens
    `profiles.day` has a date or a number that JSON cannot express; write a date as text
    `profiles.web.min_replicas`: unknown field; expected `scaling_policy`, `health_policy`, `shadow_policies`, `metrics`, `guardrails`, `probe`, `stop_hook`
    `profiles.web.guardrails.scale_up.rates[0]`: a rate has `count` or `percent`, one of them
    `profiles.web.guardrails.grace`: expected 0 s to 1 h
    `profiles.web.probe.http.port`: expected a whole number from 1 to 65535, found `0`
    `profiles.web.metrics.load.prometheus.headers.x`: `***` stands for a stored secret of the same metric and host, and there is none; give the secret
    ");
}

#[test]
fn the_agents_of_a_swarm_need_a_token_and_an_authority() {
    let config = of("[engine.agents]\ntoken_file = 'token'\nca_file = '/run/secrets/windlass-ca'\n");
    let agents = config.engine.agents.clone().expect("they are configured");
    assert!(agents.token_file.is_absolute() && agents.token_file.ends_with("token"), "{agents:?}");
    assert_eq!((agents.ca_file.as_path(), agents.port), (Path::new("/run/secrets/windlass-ca"), 7_443));
    let shown = config.to_toml();
    assert_eq!(of(&shown).engine.agents, Some(agents), "{shown}");
    assert_eq!(of("[engine.agents]\nport = 1\n").engine.agents, None);
    let error = error_of("[engine.agents]\ntoken_file = 'token'\nport = 0\n");
    assert!(
        error.contains("`engine.agents.ca_file` is missing") && error.contains("`engine.agents.port` is 0"),
        "{error}"
    );
    assert!(error_of("[engine.agents]\ntoken = 'x'\n").contains("did you mean `token_file`?"));
}
