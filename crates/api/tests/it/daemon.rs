//! The binary itself: what it says when it cannot start, that it serves, and that it stops when told.

use std::net::{Ipv4Addr, TcpListener as Reservation};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(30);

struct Files {
    directory: tempfile::TempDir,
    port: u16,
}

impl Files {
    fn write() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The port is free now and nobody else asks for it: the system gives out ports in turn.
        let port = Reservation::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(
            at("tokens.toml"),
            "[[tokens]]\ntoken = \"canary-1\"\nproject_id = \"p\"\nuser_id = \"u\"\nroles = [\"member\"]\n",
        )
        .unwrap();
        std::fs::set_permissions(at("tokens.toml"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let files = Self { directory, port };
        let config = format!(
            "[api]\nbind_port = {port}\n[auth]\nstatic_tokens_file = \"{}\"\n[database]\nconnection = \"{}\"\n\
             [monitoring]\n[log]\nformat = \"json\"\nfilter = \"debug\"\n",
            at_text(files.directory.path(), "tokens.toml"),
            files.database()
        );
        std::fs::write(files.directory.path().join("api.toml"), config).unwrap();
        files
    }

    fn database(&self) -> String {
        format!("sqlite://{}", at_text(self.directory.path(), "redtrove.db"))
    }

    fn daemon(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redtrove-api"));
        command.arg("--config").arg(self.directory.path().join("api.toml")).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

fn at_text(directory: &Path, name: &str) -> String {
    directory.join(name).display().to_string()
}

#[tokio::test]
async fn a_configuration_is_checked_before_anything_is_opened() {
    let files = Files::write();
    let good = files.daemon(&["--check-config"]).output().await.unwrap();
    assert_eq!(good.status.code(), Some(0));
    let path = files.directory.path().join("api.toml");
    std::fs::write(&path, "[api]\nbind_prot = 1\n").unwrap();
    let bad = files.daemon(&[]).output().await.unwrap();
    let said = String::from_utf8(bad.stderr).unwrap();
    assert_eq!(bad.status.code(), Some(64));
    assert!(said.contains("line 2") && said.contains("bind_prot") && said.lines().count() == 1, "{said}");
}

#[tokio::test]
async fn without_a_schema_it_names_the_command_that_makes_one() {
    let files = Files::write();
    let output = files.daemon(&[]).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("redtrove-taskmanager db migrate"), "{said}");
}

#[tokio::test]
async fn it_serves_until_it_is_told_to_stop_and_logs_no_token() {
    let files = Files::write();
    redtrove_store::migrate(&files.database()).await.unwrap();
    let mut child = files.daemon(&[]).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut log = String::new();
    while !log.contains("serving requests on http://") {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("it says when it serves").unwrap();
        log.push_str(&line.unwrap_or_else(|| panic!("it ended: {log}")));
        log.push('\n');
    }
    assert!(log.contains("STATIC TOKENS ARE IN USE"), "{log}");
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, files.port)).await.unwrap();
    let request = "GET /v1.0/p/clusters HTTP/1.1\r\nhost: h\r\nx-auth-token: canary-1\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("{\"clusters\":[]}"), "{answer}");
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("it stops when told").unwrap();
    assert_eq!(status.code(), Some(0));
    while let Some(line) = lines.next_line().await.unwrap() {
        log.push_str(&line);
        log.push('\n');
    }
    assert!(log.contains("GET /v1.0/p/clusters was answered 200"), "{log}");
    assert!(!log.contains("canary"), "{log}");
    assert!(!log.contains("\"WARN\"") && !log.contains("\"ERROR\""), "{log}");
}
