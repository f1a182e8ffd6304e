//! Holds a daemon's sample configuration and its code together. For tests.
//!
//! In a sample a line `#key = value` or `#[section]`, with nothing between `#` and the text, is a setting that is
//! commented out because it is the default; `# text` is prose.

mod fields;

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::config::parse;

/// Fails unless `sample` and `T` agree: it parses with and without its commented settings, shows every key that
/// `T` knows, and shows each with the default that the code has.
#[expect(clippy::panic, reason = "an assertion of tests")]
pub fn assert_sample_matches<T: DeserializeOwned + Serialize>(sample: &str) {
    let problems = compare::<T>(sample);
    if !problems.is_empty() {
        panic!("the sample configuration and the code differ:\n{}", problems.join("\n"));
    }
}

/// What differs between `sample` and `T`, one sentence each.
pub fn compare<T: DeserializeOwned + Serialize>(sample: &str) -> Vec<String> {
    let full = uncomment(sample);
    let mut problems = Vec::new();
    if let Err(error) = parse::<T>(Path::new("sample"), sample) {
        problems.push(error.to_string());
    }
    let table = match parse::<T>(Path::new("sample without comments"), &full).map(|_| full.parse::<Table>()) {
        Ok(Ok(table)) => table,
        Ok(Err(error)) => return vec![error.to_string()],
        Err(error) => {
            problems.push(error.to_string());
            return problems;
        }
    };
    let shown = leaves(&table);
    for known in fields::of::<T>() {
        if lookup(&table, &known).is_none() {
            problems.push(format!("the sample does not show '{}'", known.join(".")));
        }
    }
    for path in shown {
        problems.extend(wrong_default::<T>(&table, &path));
    }
    problems
}

/// A complaint if the code's default of `path` is not what the table shows.
fn wrong_default<T: DeserializeOwned + Serialize>(shown: &Table, path: &[String]) -> Option<String> {
    let mut without = shown.clone();
    remove(&mut without, path);
    // Without a required key it does not parse: such a key has no default to compare.
    let defaults = Table::try_from(without.try_into::<T>().ok()?).ok()?;
    let (default, value) = (lookup(&defaults, path)?, lookup(shown, path)?);
    // A list or table that is empty by default may show an example.
    let empty = default.as_array().is_some_and(Vec::is_empty) || default.as_table().is_some_and(Table::is_empty);
    (default != value && !empty)
        .then(|| format!("the sample shows {value} for '{}', the code's default is {default}", path.join(".")))
}

/// `sample` with every commented-out setting in force.
fn uncomment(sample: &str) -> String {
    let setting = |line: &&str| {
        line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c == '[' || c.is_ascii_alphabetic()))
    };
    let lines = sample.lines().map(|line| if setting(&line) { &line[1..] } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths of everything that is no table.
fn leaves(table: &Table) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => {
                for mut path in leaves(inner) {
                    path.insert(0, key.clone());
                    found.insert(path);
                }
            }
            _ => {
                found.insert(vec![key.clone()]);
            }
        }
    }
    found
}

fn lookup<'t>(table: &'t Table, path: &[String]) -> Option<&'t Value> {
    let (first, rest) = path.split_first()?;
    let value = table.get(first)?;
    if rest.is_empty() { Some(value) } else { lookup(value.as_table()?, rest) }
}

fn remove(table: &mut Table, path: &[String]) {
    match path {
        [] => {}
        [last] => {
            table.remove(last);
        }
        [first, rest @ ..] => {
            if let Some(Value::Table(inner)) = table.get_mut(first) {
                remove(inner, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::config::{Log, Monitoring, Seconds};

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        name: String,
        #[serde(default = "fifteen")]
        timeout: Seconds,
        #[serde(default)]
        log: Log,
        monitoring: Option<Monitoring>,
    }

    fn fifteen() -> Seconds {
        Seconds::clamped(15)
    }

    const GOOD: &str = "# The name.\nname = \"x\"\n#timeout = 15\n\n[log]\n#format = \"auto\"\n#filter = \"info\"\n\n# Off.\n#[monitoring]\n#bind = \"127.0.0.1:0\"\n";

    #[test]
    fn a_faithful_sample_passes() {
        assert_sample_matches::<Config>(GOOD);
    }

    #[test]
    fn every_way_to_be_unfaithful_is_found() {
        for (from, to, complaint) in [
            ("#timeout = 15", "#timeout = 16", "'timeout'"),
            ("#timeout = 15", "timeout = 16", "'timeout'"),
            ("#timeout = 15", "", "does not show 'timeout'"),
            ("#timeout = 15", "#timeout = 0", "timeout"),
            ("#timeout = 15", "#timeout = 15\n#old = 1", "old"),
            ("#filter = \"info\"", "", "does not show 'log.filter'"),
            ("#bind = \"127.0.0.1:0\"", "", "does not show 'monitoring.bind'"),
            ("127.0.0.1:0", "127.0.0.1:1", "monitoring.bind"),
            ("name = \"x\"", "#name = \"x\"", "name"),
        ] {
            let sample = GOOD.replace(from, to);
            let problems = compare::<Config>(&sample);
            assert!(problems.iter().any(|p| p.contains(complaint)), "{from} -> {to}: {problems:?}");
        }
    }
}
