//! What the file may say, and that the sample says all of it.

use std::path::Path;

use redtrove_service::config::parse;
use redtrove_service::config::sample::compare;

use super::*;

const SMALLEST: &str = "[auth]\nstatic_tokens_file = \"/t\"\n[database]\nconnection = \"sqlite:///x.db\"\n";

fn read(text: &str) -> Result<Config, String> {
    parse::<Config>(Path::new("api.toml"), text).map_err(|error| error.to_string())
}

#[test]
fn the_sample_shows_every_key_with_its_default() {
    let problems = compare::<Config>(include_str!("../../../../deploy/config/redtrove-api.toml"));
    // Of two keys that exclude each other a file can only have one; the other is in the prose above it.
    assert_eq!(problems, ["the sample does not show 'database.connection'"]);
}

#[test]
fn defaults_are_troves() {
    let config = read(SMALLEST).unwrap();
    assert_eq!(config.api.bind().to_string(), "127.0.0.1:8779");
    assert_eq!(config.api.clusters_page_size.get(), 20);
    assert_eq!(config.quota, Quota::default());
    assert!(config.redis.cluster_support && config.redis.volume_support);
    assert!(config.bus.is_none() && config.monitoring.is_none() && config.policy.is_empty());
    assert!(config.check().is_ok());
}

#[test]
fn a_wrong_setting_is_named_with_its_line() {
    for (setting, part) in [
        ("[api]\nbind_host = \"localhost\"", "key 'api.bind_host'"),
        ("[api]\npublic_endpoint = \"db.example.org\"", "not a base URL"),
        ("[api]\npublic_endpoint = \"ftp://db.example.org\"", "not a base URL"),
        ("[api]\ntrusted_proxies = [\"proxy\"]", "key 'api.trusted_proxies[0]'"),
        ("[api]\nclusters_page_size = 0", "key 'api.clusters_page_size'"),
        ("[policy]\n\"cluster:explode\" = \"admin\"", "cluster:explode"),
        ("[policy]\n\"cluster:create\" = \"everyone\"", "'everyone' is nobody known"),
        ("[quota]\nmax_instances = 1", "unknown field"),
    ] {
        let error = read(&format!("{SMALLEST}{setting}\n")).unwrap_err();
        assert!(error.contains(part) && error.contains("line "), "{setting}: {error}");
    }
}

#[test]
fn static_tokens_need_their_file() {
    let config = read(&SMALLEST.replace("static_tokens_file = \"/t\"", "strategy = \"static\"")).unwrap();
    assert_eq!(config.check().unwrap_err().key, "auth.static_tokens_file");
}

const KEYSTONE: &str = "[auth]\nstrategy = \"keystone\"\n[auth.keystone]\nauth_url = \"https://id.example.org/v3/\"\n\
                        username = \"trove\"\npassword_file = \"/p\"\nproject_name = \"service\"\n\
                        [database]\nconnection = \"sqlite:///x.db\"\n";

#[test]
fn keystone_needs_its_section() {
    let config = read(KEYSTONE).unwrap();
    assert!(config.check().is_ok());
    let (keystone, sends_to) = (config.auth.keystone.as_ref().unwrap(), config.auth.sends_to());
    assert_eq!(sends_to.unwrap().as_str(), "https://id.example.org/v3");
    assert_eq!((&*keystone.user_domain_name, &*keystone.project_domain_name), ("Default", "Default"));
    assert_eq!((keystone.cache_seconds.get(), keystone.negative_cache_seconds.get()), (60, 5));
    assert_eq!(
        read(&SMALLEST.replace("static_tokens_file = \"/t\"", "strategy = \"keystone\""))
            .unwrap()
            .check()
            .unwrap_err()
            .key,
        "auth.keystone"
    );
    for (from, to, part) in [
        ("username = \"trove\"\n", "", "username"),
        ("https://id", "id", "not a base URL"),
        ("[database]", "cache_seconds = 0\n[database]", "out of range"),
        ("[database]", "password = \"canary\"\n[database]", "unknown field"),
    ] {
        let error = read(&KEYSTONE.replace(from, to)).unwrap_err();
        assert!(error.contains(part) && !error.contains("canary"), "{error}");
    }
    let elsewhere = KEYSTONE.replace("[auth]\n", "[auth]\nwww_authenticate_uri = \"https://login.example.org\"\n");
    assert_eq!(read(&elsewhere).unwrap().auth.sends_to().unwrap().as_str(), "https://login.example.org");
    let static_again = KEYSTONE.replace("\"keystone\"", "\"static\"");
    assert!(read(&static_again).unwrap().auth.sends_to().is_none());
}

#[test]
fn an_endpoint_loses_its_last_slash() {
    let config = read(&format!("{SMALLEST}[api]\npublic_endpoint = \"https://db.example.org/\"\n")).unwrap();
    assert_eq!(config.api.public_endpoint.unwrap().as_str(), "https://db.example.org");
}

#[test]
fn nobody_waits_for_a_verdict_longer_than_for_a_request() {
    let wait = |seconds: u32| {
        let config = read(&format!("{SMALLEST}[api]\nagent_call_low_timeout = {seconds}\n")).unwrap();
        config.check().map_err(|complaint| complaint.key)
    };
    assert_eq!(wait(59), Ok(()));
    assert_eq!(wait(60), Err("api.agent_call_low_timeout"));
}
