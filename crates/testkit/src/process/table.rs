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

/// What each thread of a process does; see proc(5). None if there is no such process.
pub(crate) fn states_of_threads(pid: i32) -> Vec<char> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let line = |thread: std::io::Result<std::fs::DirEntry>| std::fs::read(thread.ok()?.path().join("stat")).ok();
    let lines = threads.filter_map(line);
    lines.filter_map(|line| Some(Stat::parse(&String::from_utf8_lossy(&line))?.state)).collect()
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
    places: Vec<PathBuf>,
}

impl Found {
    /// Whether it works in this directory or has something below it on its command line.
    pub fn is_in(&self, dir: &Path) -> bool {
        self.places.iter().any(|place| place.starts_with(dir))
    }
}

/// Every living process whose environment names `dir` as its stack, or which is a program of stacks and has the
/// directory on its command line or as its working directory. The caller itself is not among them.
pub fn of_stack(dir: &Path) -> Vec<Found> {
    find(dir, |stack| stack == dir)
}

/// As [`of_stack`], for every stack in `dir` or anywhere below it.
pub fn of_stacks_below(dir: &Path) -> Vec<Found> {
    find(dir, |stack| stack.starts_with(dir))
}

fn find(dir: &Path, is_meant: impl Fn(&Path) -> bool) -> Vec<Found> {
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    let look = |pid| {
        let found = read(pid)?;
        let named = words(pid, "environ").iter().any(|entry| stack_named_by(entry).is_some_and(&is_meant));
        let known = STACK_PROGRAMS.contains(&found.name.as_str()) && found.is_in(dir);
        (named || known).then_some(found)
    };
    pids().into_iter().filter(|pid| *pid != me).filter_map(look).collect()
}

fn pids() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn read(pid: i32) -> Option<Found> {
    let stat = Stat::read(pid)?;
    if stat.state == 'Z' {
        return None;
    }
    let args = words(pid, "cmdline");
    let mut places: Vec<PathBuf> = args.iter().map(|arg| PathBuf::from(OsStr::from_bytes(arg))).collect();
    places.extend(std::fs::read_link(format!("/proc/{pid}/cwd")).ok());
    let command_line = args.iter().map(|arg| String::from_utf8_lossy(arg)).collect::<Vec<_>>().join(" ");
    Some(Found { process: Process { pid, started: stat.started }, name: stat.name, command_line, places })
}

fn words(pid: i32, file: &str) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect()
}

/// The stack that an environment entry names.
fn stack_named_by(entry: &[u8]) -> Option<&Path> {
    let value = entry.strip_prefix(STACK_DIR_VARIABLE.as_bytes())?.strip_prefix(b"=")?;
    Some(Path::new(OsStr::from_bytes(value)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Stat, stack_named_by};

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
    fn only_the_variable_of_stacks_names_a_stack() {
        assert_eq!(stack_named_by(b"REDTROVE_STACK_DIR=/tmp/a"), Some(Path::new("/tmp/a")));
        assert_eq!(stack_named_by(b"REDTROVE_STACK_DIRECTORY=/tmp/a"), None);
        assert_eq!(stack_named_by(b"OLDPWD=/tmp/a"), None);
    }
}
