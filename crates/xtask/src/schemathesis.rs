//! `cargo xtask schemathesis`: requests that a machine makes up from the OpenAPI document, good ones and bad ones,
//! against a stack of its own. No answer may be a 5xx that is not meant, or anything that the document does not say.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use redtrove_testkit::install::{self, Package, REDIS};
use redtrove_testkit::logs;
use redtrove_testkit::stack::{Stack, StackOptions, Token};
use serde_json::json;

use crate::cli::SchemathesisOptions;
use crate::interrupt::Interrupt;
use crate::packages::{self, Consent};
use crate::{compile, say};

/// The one that the settings below were written for.
const VERSION: &str = "4.32.5";
/// python3's own way to make environments, which Debian packs apart.
const VENV: Package = Package { name: "python3-venv", proof: &["python3"] };
/// What an answer is held against. Left out are `positive_data_acceptance`, as a schema cannot say which name needs
/// a letter, `negative_data_rejection`, as keys that nobody knows are taken and ignored, as Trove does, and
/// `missing_required_header`, as no header but the token's is required.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,unsupported_method,allow_header_conformance,\
    use_after_free,ensure_resource_availability,ignored_auth";

pub(crate) fn run(options: &SchemathesisOptions) -> Result<()> {
    run_with(options, Consent::Ask, &Interrupt::catch()?)
}

/// Fails if any answer was wrong, or the API logged anything that needs a person.
pub(crate) fn run_with(options: &SchemathesisOptions, consent: Consent, interrupt: &Interrupt) -> Result<()> {
    packages::provide(&[REDIS], consent, interrupt)?;
    let program = ensure_program(consent, interrupt)?;
    let dir = tempfile::Builder::new().prefix("rt-").rand_bytes(4).tempdir().context("no temporary directory")?;
    let mut wanted = StackOptions::new(dir.path().join("stack"), compile::daemons(interrupt)?);
    // Clusters that are made up become real processes: a few of them are enough.
    wanted.api = json!({"quota": {"max_instances_per_tenant": 4, "max_volumes_per_tenant": 40}});
    let stack = Stack::start(&wanted, &|_| interrupt.check())?;
    let admin = &stack.tokens().admin;
    let (settings, url) = (dir.path().join("schemathesis.toml"), format!("{}/openapi.json", stack.description().api));
    write_settings(&settings, admin)?;
    say::note(&format!("{} cases an operation, seed {}", options.cases, options.seed));
    let mut command = Command::new(program);
    command.arg("--config-file").arg(&settings).args(["run", &url, "--checks", CHECKS, "--no-color"]);
    command.args(["--seed", &options.seed.to_string(), "--max-examples", &options.cases.to_string()]);
    command.args(["--workers", "2", "--continue-on-failure"]).stdin(Stdio::null()).current_dir(dir.path());
    let outcome = compile::run(&mut command, interrupt);
    let complaints = logs::unexpected(&stack.layout().log("api"), &["STATIC TOKENS"])?;
    stack.end()?;
    outcome?;
    if let Some(first) = complaints.first() {
        bail!("the API logged {} lines that need a person, the first of them: {}", complaints.len(), first.text);
    }
    Ok(())
}

/// The token is in a file, as arguments can be read by everybody on the machine.
fn write_settings(path: &Path, admin: &Token) -> Result<()> {
    let text = format!(
        "warnings = false\n[headers]\nX-Auth-Token = \"{}\"\n[parameters]\n\"path.project_id\" = \"{}\"\n\
         # What is documented as 501 is meant, and so is 503.\n\
         [checks.not_a_server_error]\nexpected-statuses = [\"2xx\", \"3xx\", \"4xx\", 501, 503]\n",
        admin.token, admin.project_id
    );
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, mode).context("cannot protect the settings")
}

/// Installs the program in an environment of its own below the target directory, once.
fn ensure_program(consent: Consent, interrupt: &Interrupt) -> Result<PathBuf> {
    let me = std::env::current_exe().context("cannot tell where xtask was built")?;
    // target/<profile>/xtask
    let target = me.ancestors().nth(2).context("xtask has no target directory")?;
    let home = target.join(format!("schemathesis-{VERSION}"));
    let program = home.join("bin/schemathesis");
    if program.is_file() {
        return Ok(program);
    }
    say::note(&format!("installing schemathesis {VERSION} from PyPI"));
    let python = python(consent, interrupt)?;
    compile::run(Command::new(python).args(["-m", "venv", "--clear"]).arg(&home), interrupt)?;
    let mut pip = Command::new(home.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", &format!("schemathesis=={VERSION}")]);
    compile::run(&mut pip, interrupt)?;
    Ok(program)
}

fn python(consent: Consent, interrupt: &Interrupt) -> Result<PathBuf> {
    let able = || {
        let python = install::find_program("python3")?;
        let mut command = Command::new(&python);
        command.args(["-m", "ensurepip", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success()).then_some(python)
    };
    if let Some(python) = able() {
        return Ok(python);
    }
    packages::provide_anyway(&[VENV], consent, interrupt)?;
    able().context("python3 cannot make an environment, even with python3-venv installed")
}
