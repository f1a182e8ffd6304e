//! Reading /proc: who runs, and whose process it is.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::Process;

/// The variable that names a stack's directory in the environment of each of its processes.
pub const STACK_DIR_VARIABLE: &str = "REDTROVE_STACK_DIR";

/// Programs that may belong to a stack although their environment no longer says so: redis-server overwrites its
/// own with its title. First fifteen characters, as the kernel keeps them.
const STACK_PROGRAMS: [&str; 5] =
    ["redis-server", "valkey-server", "redtrove-guesta", "redtrove-taskma", "redtrove-api"];

/// What /proc/PID/stat says of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// The program's name, at most fifteen characters.
    pub name: String,
    /// R, S, D, T, Z and so on; see proc(5).
    pub state: char,
    /// The parent.
    pub parent: i32,
    /// Start time in clock ticks since the machine came up.
    pub started: u64,
}

impl Stat {
    /// Reads the entry; none if there is no such process.
    pub fn read(pid: i32) -> Option<Self> {
        let bytes = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    /// Parses the line. The name stands in brackets and may itself hold blanks and brackets, so the end of it is the
    /// last bracket.
    pub fn parse(line: &str) -> Option<Self> {
        let open = line.find('(')?;
        let close = line.rfind(')')?;
        let name = line.get(open + 1..close)?.to_owned();
        let mut fields = line.get(close + 1..)?.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        // The state is field 3, so field 22 is the eighteenth after the parent (field 4).
        let started = fields.nth(17)?.parse().ok()?;
        Some(Self { name, state, parent, started })
    }
}

/// A process of a stack.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its identity.
    pub process: Process,
    /// The program's name, at most fifteen characters.
    pub name: String,
    /// Its command line, joined with blanks.
    pub command_line: String,
}

/// Every living process whose environment names `dir` as its stack, or which is a program of stacks and has the
/// directory on its command line or as its working directory. The caller itself is not among them.
pub fn of_stack(dir: &Path) -> Vec<Found> {
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    pids().into_iter().filter(|pid| *pid != me).filter_map(|pid| belongs(pid, dir)).collect()
}

fn pids() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn belongs(pid: i32, dir: &Path) -> Option<Found> {
    let stat = Stat::read(pid)?;
    if stat.state == 'Z' {
        return None;
    }
    let args = words(pid, "cmdline");
    let known = STACK_PROGRAMS.contains(&stat.name.as_str());
    let ours = words(pid, "environ").iter().any(|word| names_stack(word, dir))
        || (known && (args.iter().any(|arg| is_under(Path::new(OsStr::from_bytes(arg)), dir)) || works_in(pid, dir)));
    let command_line = args.iter().map(|arg| String::from_utf8_lossy(arg)).collect::<Vec<_>>().join(" ");
    ours.then_some(Found { process: Process { pid, started: stat.started }, name: stat.name, command_line })
}

fn words(pid: i32, file: &str) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect()
}

/// Whether an environment entry names this stack.
fn names_stack(entry: &[u8], dir: &Path) -> bool {
    let value = entry.strip_prefix(STACK_DIR_VARIABLE.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
    value.is_some_and(|value| Path::new(OsStr::from_bytes(value)) == dir)
}

fn works_in(pid: i32, dir: &Path) -> bool {
    std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd: PathBuf| is_under(&cwd, dir))
}

fn is_under(path: &Path, dir: &Path) -> bool {
    path.starts_with(dir)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Stat, names_stack};

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_shift_the_fields() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2";
        let stat = Stat::parse(line).expect("a stat line");
        assert_eq!(stat, Stat { name: "a) b (c".to_owned(), state: 'S', parent: 7, started: 987_654 });
    }

    #[test]
    fn a_line_cut_short_is_no_process() {
        assert_eq!(Stat::parse("42 (cat) S 7 42"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn a_longer_path_is_another_stack() {
        let dir = Path::new("/tmp/a");
        assert!(names_stack(b"REDTROVE_STACK_DIR=/tmp/a", dir));
        assert!(!names_stack(b"REDTROVE_STACK_DIR=/tmp/ab", dir));
        assert!(!names_stack(b"REDTROVE_STACK_DIR=/tmp/a/b", dir));
        assert!(!names_stack(b"OLDPWD=/tmp/a", dir));
    }
}
