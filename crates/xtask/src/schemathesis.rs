//! `cargo xtask schemathesis`: requests that a machine makes up from the OpenAPI document, good ones and bad ones,
//! against a stack of its own. No answer may be a 5xx that is not meant, or anything that the document does not say.

mod settings;

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use redtrove_testkit::install::REDIS;
use redtrove_testkit::stack::{Binaries, Stack, StackOptions};
use redtrove_testkit::venv::{self, PIP};
use redtrove_testkit::{logs, wait_for};
use serde_json::{Value, json};

use crate::cli::SchemathesisOptions;
use crate::interrupt::Interrupt;
use crate::packages::{self, Consent};
use crate::{compile, say, tests};
use settings::Known;

/// The one that the settings were written for.
const PROGRAM: &str = "schemathesis==4.32.5";
/// What an answer is held against. Left out are `positive_data_acceptance`, as a schema cannot say which name needs
/// a letter, that a quota is used up or that a cluster is busy.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,unsupported_method,allow_header_conformance,\
    use_after_free,ensure_resource_availability,ignored_auth,missing_required_header,negative_data_rejection";
/// How long a first cluster may take.
const FORMED_WITHIN: Duration = Duration::from_secs(60);

pub(crate) fn run(options: &SchemathesisOptions) -> Result<()> {
    let interrupt = Interrupt::catch()?;
    packages::provide(&[REDIS, PIP], Consent::Ask, &interrupt)?;
    run_with(options, compile::daemons(&interrupt)?, &interrupt)
}

/// Fails if any answer was wrong, or the API logged anything that needs a person.
pub(crate) fn run_with(options: &SchemathesisOptions, daemons: Binaries, interrupt: &Interrupt) -> Result<()> {
    say::note(&format!("{PROGRAM}, from PyPI"));
    let program = venv::ensure(&tests::target()?, "schemathesis", &[PROGRAM])?.join("venv/bin/schemathesis");
    interrupt.check()?;
    let dir = tempfile::Builder::new().prefix("rt-").rand_bytes(4).tempdir().context("no temporary directory")?;
    let mut wanted = StackOptions::new(dir.path().join("stack"), daemons);
    // Clusters that are made up become real processes: a few of them are enough.
    wanted.api = json!({
        "quota": {"max_instances_per_tenant": 5, "max_volumes_per_tenant": 40},
        "api": {"agent_call_low_timeout": 2},
    });
    let stack = Stack::start(&wanted, &|_| interrupt.check())?;
    let (settings, url) = (dir.path().join("schemathesis.toml"), format!("{}/openapi.json", stack.description().api));
    settings::write(&settings, &stack.tokens().admin, &provide(&stack)?)?;
    say::note(&format!("{} cases an operation, seed {}", options.cases, options.seed));
    let mut command = Command::new(program);
    command.arg("--config-file").arg(&settings).args(["run", &url, "--checks", CHECKS, "--no-color"]);
    command.args(["--seed", &options.seed.to_string(), "--max-examples", &options.cases.to_string()]);
    // One worker: Python's parser, which shows what failed, breaks when two threads are deep in it (CPython 3.11).
    command.args(["--workers", "1", "--continue-on-failure"]).stdin(Stdio::null()).current_dir(dir.path());
    let outcome = compile::run(&mut command, interrupt);
    let log = logs::read(&stack.layout().log("api"))?;
    stack.end()?;
    outcome?;
    let complaints = logs::unexpected(&log, &["STATIC TOKENS"]);
    if let Some(first) = complaints.first() {
        bail!("the API logged {} lines that need a person, the first of them: {}", complaints.len(), first.text);
    }
    Ok(())
}

/// Makes two clusters, one to be used and one to be deleted, so that requests meet what is there.
fn provide(stack: &Stack) -> Result<Known> {
    let client = stack.client_of(&stack.tokens().admin);
    let create = |name: &str, members: usize| -> Result<Value> {
        let instances = vec![json!({"flavorRef": "1", "volume": {"size": 1}}); members];
        let body = json!({"cluster": {"name": name, "datastore": {"type": "redis"}, "instances": instances}});
        Ok(client.post("/clusters", &body)?.expect_status(202)?["cluster"].take())
    };
    let id = |of: &Value| of["id"].as_str().map(str::to_owned).context("something without an id");
    let (used, doomed) = (create("used", 2)?, create("doomed", 1)?);
    let path = format!("/clusters/{}", id(&used)?);
    wait_for("the first cluster to be formed", FORMED_WITHIN, || {
        let shown = client.get(&path)?.expect_status(200)?;
        Ok((shown["cluster"]["task"]["name"] == "NONE").then_some(()))
    })?;
    let members = used["instances"].as_array().into_iter().flatten().map(id).collect::<Result<_>>()?;
    Ok(Known { cluster: id(&used)?, members, doomed: id(&doomed)? })
}
