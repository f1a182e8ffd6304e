//! What is taken, what is refused, and in which words.

use std::io::Write;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    api: Api,
    #[serde(default)]
    log: Log,
    #[serde(default)]
    redis: Redis,
    database: Option<Database>,
    bus: Option<Bus>,
    monitoring: Option<Monitoring>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Api {
    bind_port: Port,
    timeout: Option<Seconds>,
    #[serde(default)]
    flavors: Vec<Flavor>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flavor {
    ram: Count,
}

impl DaemonConfig for Sample {
    const DAEMON: &'static str = "sample";

    fn log(&self) -> &Log {
        &self.log
    }

    fn check(&self) -> Result<(), Complaint> {
        if self.api.timeout.is_some_and(|t| t.get() < 5) {
            return Err(Complaint { key: "api.timeout", problem: "is below 5".to_owned() });
        }
        Ok(())
    }
}

fn refused(text: &str) -> String {
    parse::<Sample>(Path::new("/etc/x.toml"), text).unwrap_err().to_string()
}

#[test]
fn errors_name_file_line_column_and_key_in_one_sentence() {
    for (text, expected) in [
        ("[api]\nbind_port = 0", "/etc/x.toml, line 2, column 13: key 'api.bind_port': 0 is not a port"),
        ("[api]\nbind_port = 65536", "line 2, column 13: key 'api.bind_port': 65536 is not a port"),
        ("[api]\nbind_port = -1", "line 2, column 13: key 'api.bind_port': -1 is not a port"),
        ("[api]\nbind_port = \"80\"", "line 2, column 13: key 'api.bind_port': invalid type: string"),
        ("[api]\nbind_port = 1\ntimeout = 0", "line 3, column 11: key 'api.timeout': 0 is out of range"),
        ("[api]\nbind_port = 1\ntimeout = 31536001", "key 'api.timeout': 31536001 is out of range"),
        ("[api]\nbind_port = 1\ntimeout = 1.5", "key 'api.timeout': invalid type: floating point"),
        ("[api]\nbind_port = 1\nbind_prot = 1", "line 3, column 1: key 'api.bind_prot': unknown field `bind_prot`"),
        ("[api]\nbind_port = 1\n[apo]", "line 3, column 2: key 'apo': unknown field `apo`"),
        ("[api]", "line 1, column 1: key 'api': missing field `bind_port`"),
        ("", "line 1, column 1: missing field `api`"),
        (
            "[api]\nbind_port = 1\n[[api.flavors]]\nram = 1\n[[api.flavors]]\nram = 0",
            "key 'api.flavors[1].ram': 0 is out",
        ),
        ("[api]\nbind_port = ", "/etc/x.toml, line 2, column 13: "),
        ("[api]\nbind_port = 1\n[log]\nformat = \"xml\"", "key 'log.format': unknown variant `xml`"),
        ("[api]\nbind_port = 1\n[log]\nfilter = \"a=b=c\"", "key 'log.filter': not a log filter"),
        ("[api]\nbind_port = 1\n[bus]", "key 'bus': missing field `url_file`"),
        ("[api]\nbind_port = 1\n[database]", "key 'database': one of connection and connection_file is required"),
        ("[api]\nbind_port = 1\n[database]\nconnection = \"canary\"", "key 'database.connection': not a database URL"),
        ("bus = \"amqp://u:canary@h/v\"", "key 'bus': invalid type: string \"amqp://***@h/v\""),
        ("[api]\nbind_port = 1\n[monitoring]\nbind = \"here\"", "key 'monitoring.bind': invalid socket address"),
    ] {
        let error = refused(text);
        assert!(error.contains(expected), "{text:?}\n  {error}\n  {expected}");
        assert!(!error.contains('\n'), "{error:?}");
        assert!(!error.contains("canary"), "{error:?}");
    }
}

#[test]
fn an_unknown_strategy_is_refused_with_the_known_ones() {
    let error = refused("[api]\nbind_port = 1\n[redis]\ntaskmanager_strategy = \"galera\"");
    for part in ["line 4", "'redis.taskmanager_strategy'", "'galera'", "RedisTaskManagerStrategy", "'redis'"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn the_blueprints_strategies_and_their_short_names_are_taken() {
    let base = "trove.common.strategies.cluster.experimental.redis";
    let text = format!(
        "[api]\nbind_port = 1\n[redis]\napi_strategy = \"{base}.api.RedisAPIStrategy\"\n\
         taskmanager_strategy = \"{base}.taskmanager.RedisTaskManagerStrategy\"\n\
         guestagent_strategy = \"{base}.guestagent.RedisGuestAgentStrategy\""
    );
    let short = "[api]\nbind_port = 1\n[redis]\napi_strategy = \"redis\"\ntaskmanager_strategy = \"redis\"\n\
                 guestagent_strategy = \"redis\"";
    for text in [text.as_str(), short] {
        let config: Sample = parse(Path::new("x"), text).unwrap();
        assert_eq!(config.redis, Redis::default());
    }
}

#[test]
fn a_complaint_between_settings_finds_its_line() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"# \xc3\xbc\n[api]\nbind_port = 1\n  timeout = 4\n").unwrap();
    let error = load_checked::<Sample>(file.path()).unwrap_err().to_string();
    assert!(error.contains("line 4, column 3: key 'api.timeout': is below 5"), "{error}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = load::<Sample>(Path::new("/nonexistent/x.toml")).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/x.toml"), "{error}");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"name = \"\xff\"").unwrap();
    let error = load::<Sample>(file.path()).unwrap_err().to_string();
    assert!(error.contains(&file.path().display().to_string()), "{error}");
}

#[test]
fn a_dump_has_every_default_parses_again_and_shows_no_password() {
    let text = "[database]\nconnection = \"mysql://u:canary@db/redtrove\"\n[api]\nbind_port = 8779";
    let config: Sample = parse(Path::new("x"), text).unwrap();
    let dump = dump(&config).unwrap();
    assert!(!dump.contains("canary"), "{dump}");
    assert!(dump.contains("u:***@db") && dump.contains("filter = \"info\"") && dump.contains("RedisAPIStrategy"));
    parse::<Sample>(Path::new("dump"), &dump).unwrap();
}

#[test]
fn columns_count_characters() {
    assert_eq!(place("ab\ncd", 0), (1, 1));
    assert_eq!(place("ab\ncd", 4), (2, 2));
    assert_eq!(place("äb", 2), (1, 2));
    assert_eq!(place("", 99), (1, 1));
}

fn words() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "[api]",
        "[",
        "]",
        "=",
        "\n",
        "bind_port",
        "timeout",
        "[log]",
        "\"",
        "'''",
        "0",
        "65536",
        "1e999",
        "é",
        "{",
        "}",
        ".",
        ",",
        "#",
        "\\u",
        "\0",
        "[[api.flavors]]",
        "true",
        "2020-01-01",
        "-9223372036854775808",
        "\r",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused_in_one_line(text in prop_oneof![any::<String>(), words()]) {
        if let Err(error) = parse::<Sample>(Path::new("x"), &text) {
            let error = error.to_string();
            prop_assert!(!error.contains('\n'), "{error:?}");
            prop_assert!(error.starts_with("x, line "), "{error:?}");
        }
    }
}

#[test]
fn deep_nesting_is_refused() {
    for text in [format!("a = {}", "[".repeat(100_000)), format!("{}x = 1", "a.".repeat(100_000))] {
        assert!(parse::<Sample>(Path::new("x"), &text).is_err());
    }
}
