//! What stands in redis.conf, and what may not.

use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

use redtrove_core::settings::InvalidSetting;

use super::*;

const MACHINE: Machine<'_> = Machine {
    data: "/srv/a b/\"c\\d/data",
    log: None,
    ip: IpAddr::V4(std::net::Ipv4Addr::new(127, 200, 0, 2)),
    ram_mb: 512,
};

fn settings(pairs: &[(&str, &str)]) -> Result<Settings, InvalidSetting> {
    Settings::check(pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

#[test]
fn the_defaults() {
    let text = redis_conf(MACHINE, &Settings::default());
    let lines = lines(&text);
    for line in [
        r#"dir "/srv/a b/\"c\\d/data""#,
        "logfile \"\"",
        "bind 127.200.0.2",
        "protected-mode no",
        "unixsocketperm 700",
        "cluster-announce-ip 127.200.0.2",
        "cluster-announce-bus-port 16379",
        "appendonly yes",
        "appendfsync everysec",
        "save \"\"",
        "maxmemory 402653184",
        "maxmemory-policy noeviction",
        "cluster-node-timeout 15000",
        "cluster-require-full-coverage yes",
        "cluster-allow-replica-migration no",
        "enable-debug-command no",
        "enable-module-command no",
        "daemonize no",
    ] {
        assert!(lines.contains(&line), "{line}\n{text}");
    }
    assert_eq!(Settings::default().node_timeout_ms(), 15_000);
}

#[test]
fn settings_replace_and_add() {
    let settings = settings(&[
        ("appendfsync", "always"),
        ("save", "3600 1 300 100"),
        ("cluster-node-timeout", "2000"),
        ("notify-keyspace-events", "\"\""),
        ("client-output-buffer-limit", "pubsub 32mb 8mb 60"),
    ])
    .unwrap();
    let text = redis_conf(MACHINE, &settings);
    let lines = lines(&text);
    for line in
        ["appendfsync always", "save 3600 1 300 100", "cluster-node-timeout 2000", "notify-keyspace-events \"\""]
    {
        assert!(lines.contains(&line), "{line}\n{text}");
    }
    assert!(!lines.contains(&"appendfsync everysec"), "replaced, not repeated");
    assert_eq!(settings.node_timeout_ms(), 2000);
}

#[test]
fn the_agents_own_settings_are_all_refused() {
    for (name, _) in owned(MACHINE) {
        assert!(settings(&[(name, "x")]).is_err(), "{name}");
    }
}

proptest! {
    #[test]
    fn no_setting_makes_a_line_of_its_own(pairs in prop::collection::btree_map(".{0,12}|[a-z-]{1,12}", ".{0,12}|[ -~]{0,12}", 0..4)) {
        if let Ok(settings) = Settings::check(pairs.clone()) {
            let text = redis_conf(MACHINE, &settings);
            let plain = redis_conf(MACHINE, &Settings::default());
            let added = pairs.keys().filter(|name| DEFAULTS.iter().all(|d| d.0 != *name) && *name != "maxmemory").count();
            prop_assert_eq!(lines(&text).len(), lines(&plain).len() + added);
            let names: Vec<_> = lines(&text).iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
            let mut unique = names.clone();
            unique.sort();
            unique.dedup();
            prop_assert_eq!(unique.len(), names.len(), "a name stands once: {}", text);
            prop_assert!(names.iter().all(|name| !name.is_empty()));
        }
    }
}
