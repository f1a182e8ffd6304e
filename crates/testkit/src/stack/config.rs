//! The configuration files of a stack's daemons.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::block::{Block, free_port};
use super::description::{Description, Grpc};
use super::layout::Layout;
use super::{Db, StackOptions, Tokens};
use crate::files::{private_file, text};
use crate::install::find_program;

/// Trove's port, the first API's; its fellows have the following ones.
const API_PORT: u16 = 8779;
/// The first port for metrics; the first API has it, its fellows and the taskmanagers the following ones.
const METRICS_PORT: u16 = 9779;

/// Taskmanagers are `taskmanager`, `taskmanager-2`, `taskmanager-3` and so on.
pub(super) fn taskmanager_name(n: usize) -> String {
    numbered("taskmanager", n)
}

/// APIs are `api`, `api-2`, `api-3` and so on.
pub(super) fn api_name(n: usize) -> String {
    numbered("api", n)
}

fn numbered(name: &str, n: usize) -> String {
    if n == 1 { name.to_owned() } else { format!("{name}-{n}") }
}

/// What is known of a stack before anything runs.
pub(super) fn description(
    layout: &Layout,
    block: &Block,
    tokens: &Tokens,
    options: &StackOptions,
) -> Result<Description> {
    let url = |wanted| Ok(format!("http://{}:{}", block.services(), free_port(block.services(), wanted)?));
    let apis = (API_PORT..).take(options.apis.max(1)).map(url).collect::<Result<Vec<String>>>()?;
    let pki = layout.pki();
    Ok(Description {
        api: apis.first().context("a stack has an API")?.clone(),
        apis,
        token: tokens.member.token.clone(),
        project_id: tokens.member.project_id.clone(),
        keystone: None,
        amqp: None,
        db: format!("sqlite://{}", text(&layout.database())?),
        dir: layout.dir().to_owned(),
        pids: BTreeMap::new(),
        metrics: BTreeMap::new(),
        grpc: Grpc { ca: pki.join("ca.pem"), cert: pki.join("reader.pem"), key: pki.join("reader.key") },
        guests: format!("{} guests --dir {}", options.lister, quoted(&text(layout.dir())?)),
    })
}

/// A word as a shell reads it.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Writes the files of all daemons; `auth` is the API's section of this name.
pub(super) fn write(
    layout: &Layout,
    block: &Block,
    options: &StackOptions,
    auth: &Value,
    description: &mut Description,
) -> Result<()> {
    let mut metrics = |name: &str, at: u16| -> Result<String> {
        let bind = format!("{}:{}", block.services(), free_port(block.services(), at)?);
        description.metrics.insert(name.to_owned(), format!("http://{bind}/metrics"));
        Ok(bind)
    };
    let apis = (1..=description.apis.len()).map(api_name);
    let taskmanagers = (1..=options.taskmanagers.max(1)).map(taskmanager_name);
    let bound = apis.chain(taskmanagers).zip(METRICS_PORT..);
    let bound = bound.map(|(name, port)| Ok((metrics(&name, port)?, name))).collect::<Result<Vec<_>>>()?;
    let (apis, taskmanagers) = bound.split_at(description.apis.len());
    let database = match options.db {
        Db::Sqlite => json!({"connection": description.db}),
        Db::MariaDb => json!({"connection_file": text(&layout.database_url())?}),
    };
    let mut common = json!({
        "database": database,
        "redis": {},
        "log": {"format": "json", "filter": "info"},
    });
    if description.amqp.is_some() {
        common["bus"] = json!({"url_file": text(&layout.bus_url())?});
    }
    for ((bind, name), url) in apis.iter().zip(&description.apis) {
        let (host, port) = url.rsplit_once(':').context("an API without a port")?;
        let own = json!({
            "api": {"bind_host": host.trim_start_matches("http://"), "bind_port": port.parse::<u16>()?},
            "auth": auth,
            "quota": {"max_instances_per_tenant": -1, "max_volumes_per_tenant": -1, "max_accepted_volume_size": -1},
            "monitoring": {"bind": bind},
        });
        save(layout, name, &[&common, &own, &options.api])?;
    }
    for (bind, name) in taskmanagers {
        let own = taskmanager(layout, block, options, name, bind)?;
        save(layout, name, &[&common, &own, &options.taskmanager])?;
    }
    Ok(())
}

fn taskmanager(layout: &Layout, block: &Block, options: &StackOptions, name: &str, metrics: &str) -> Result<Value> {
    let pki = layout.pki();
    let redis = find_program("redis-server").context("no redis-server here; install the package redis-server")?;
    Ok(json!({
        "taskmanager": {"host": name},
        "guests": {
            "ca": text(&pki.join("ca.pem"))?,
            "cert": text(&pki.join("control.pem"))?,
            "key": text(&pki.join("control.key"))?,
        },
        "pki": {"directory": text(&pki)?},
        "compute": {
            "provider": "local",
            "local": {
                "directory": text(&layout.instances())?,
                "address_block": block.cidr(),
                "guestagent": text(&options.binaries.guestagent)?,
                "supervise": true,
                "engines": {"redis": text(&redis)?},
                "flavors": flavors(),
            },
        },
        "monitoring": {"bind": metrics},
    }))
}

fn flavors() -> Value {
    let flavor = |id: &str, name: &str, ram: u32| json!({"id": id, "name": name, "ram": ram, "vcpus": 1, "disk": 5, "ephemeral": 0});
    json!([
        flavor("1", "redtrove.tiny", 512),
        flavor("2", "redtrove.small", 1024),
        flavor("3", "redtrove.medium", 2048),
        flavor("4", "redtrove.large", 4096),
    ])
}

fn save(layout: &Layout, daemon: &str, layers: &[&Value]) -> Result<()> {
    let mut all = json!({});
    for layer in layers {
        overlay(&mut all, layer);
    }
    let text = toml::to_string(&all).with_context(|| format!("cannot write the configuration of {daemon}"))?;
    private_file(&layout.config(daemon), &text)
}

/// Lays `upper` over `lower`, table by table; a null says nothing.
fn overlay(lower: &mut Value, upper: &Value) {
    match (lower, upper) {
        (_, Value::Null) => {}
        (Value::Object(lower), Value::Object(upper)) => {
            for (key, value) in upper {
                overlay(lower.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (lower, upper) => *lower = upper.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::overlay;

    #[test]
    fn a_layer_changes_what_it_names_and_nothing_else() {
        let mut config = json!({"log": {"format": "json", "filter": "info"}, "api": {"bind_port": 1}});
        overlay(&mut config, &json!({"log": {"filter": "debug"}, "taskmanager": {"lease_seconds": 2}, "api": null}));
        let expected = json!({
            "log": {"format": "json", "filter": "debug"},
            "taskmanager": {"lease_seconds": 2},
            "api": {"bind_port": 1},
        });
        assert_eq!(config, expected);
    }

    #[test]
    fn a_shell_reads_a_quoted_word_as_it_was() {
        for word in ["/tmp/a", "/tmp/a b", "it's", "", "$HOME;`x`"] {
            let output =
                std::process::Command::new("sh").args(["-c", &format!("printf %s {}", super::quoted(word))]).output();
            assert_eq!(String::from_utf8_lossy(&output.expect("sh runs").stdout), word);
        }
    }

    #[test]
    fn flavors_become_an_array_of_tables() {
        let text = toml::to_string(&json!({"compute": {"local": {"flavors": super::flavors()}}})).expect("TOML");
        assert!(text.contains("[[compute.local.flavors]]") && text.contains("ram = 512"), "{text}");
    }
}
