//! The command line.

use std::ops::Range;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::bench::api::{CLUSTERS, Part, SECONDS};
use crate::bench::formation::{RUNS, SIZES};
use crate::compile::project_root;

/// The developer's one door to redtrove
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start everything real, create a three-node cluster through REST and use it
    Demo(DemoOptions),
    /// Start a private stack that stays up
    Up(UpOptions),
    /// End a stack, clusters included
    Down {
        /// The stack's directory
        #[arg(long, default_value_os_t = default_dir())]
        dir: PathBuf,
    },
    /// List a stack's guests, one JSON object a line
    Guests {
        /// The stack's directory
        #[arg(long, default_value_os_t = default_dir())]
        dir: PathBuf,
    },
    /// Stop one daemon of a stack, and keep it stopped
    Stop {
        /// api, api-2, taskmanager, taskmanager-2, mariadb, rabbitmq, keystone
        daemon: String,
        /// The stack's directory
        #[arg(long, default_value_os_t = default_dir())]
        dir: PathBuf,
    },
    /// Start a stopped daemon again
    Start {
        /// api, api-2, taskmanager, taskmanager-2, mariadb, rabbitmq, keystone
        daemon: String,
        /// The stack's directory
        #[arg(long, default_value_os_t = default_dir())]
        dir: PathBuf,
    },
    /// Watch a stack; `up` leaves this behind
    #[command(hide = true)]
    Supervise {
        #[arg(long)]
        dir: PathBuf,
        /// Start daemons again that died
        #[arg(long)]
        restart: bool,
    },
    /// Install what the tests need and run them all
    Test,
    /// Measure redtrove against its peers
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
    /// Send a stack requests that are made up from its OpenAPI document
    Schemathesis(SchemathesisOptions),
    /// Whole installations in a simulated world and in a storm, one for each seed
    Sim(SimOptions),
    /// Accidents at every step of every operation; without arguments the whole matrix, which writes docs/failure-matrix.md
    #[command(disable_help_flag = true)]
    Chaos {
        /// As `cargo xtask chaos --help` says; `--yes` among them installs what is missing without asking
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Format, lint and architecture checks, then the tests
    Ci,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// How long nodes take to become a cluster, against redis-cli --cluster create; writes docs/performance.md
    Formation(FormationOptions),
    /// What the API serves, against what was measured of Trove; writes docs/performance.md
    Api(ApiOptions),
}

#[derive(Debug, Args)]
pub(crate) struct SchemathesisOptions {
    /// The most cases of each operation that are drawn; those that the document itself gives come beside
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) cases: u32,
    /// Where drawing begins: the same seed draws the same cases
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u32,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SimOptions {
    /// The seeds, from the first to the one before the last
    #[arg(long, value_name = "A..B", default_value = "0..10000", value_parser = seeds)]
    pub(crate) seeds: Range<u64>,
    /// Ends the search after so many seconds, be it done or not
    #[arg(long)]
    pub(crate) seconds: Option<u64>,
    /// Tells the story of this seed, line by line
    #[arg(long, conflicts_with_all = ["seeds", "seconds"])]
    pub(crate) seed: Option<u64>,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let ends = text.split_once("..").and_then(|(first, end)| Some(first.parse().ok()?..end.parse().ok()?));
    ends.filter(|seeds| !seeds.is_empty()).ok_or_else(|| "two numbers, as in 0..10000".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct FormationOptions {
    /// Numbers of nodes; redis-cli makes no cluster of fewer than three
    #[arg(long, value_delimiter = ',', default_values_t = SIZES, value_parser = number_of_nodes)]
    pub(crate) sizes: Vec<usize>,
    /// Runs of each side and size
    #[arg(long, default_value_t = RUNS)]
    pub(crate) runs: usize,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}

#[derive(Debug, Args)]
pub(crate) struct ApiOptions {
    /// How many clusters of three the database holds
    #[arg(long, default_value_t = CLUSTERS, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    pub(crate) clusters: u32,
    /// How long each measurement takes
    #[arg(long, default_value_t = SECONDS, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) seconds: u64,
    /// What is measured
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::ALL)]
    pub(crate) parts: Vec<Part>,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
}

#[derive(Debug, Args)]
pub(crate) struct BuildOptions {
    /// How redtrove is built
    #[arg(long, value_enum, default_value_t = Profile::Release)]
    pub(crate) profile: Profile,
    /// A directory with the three programs, to compare builds with each other; nothing is built then
    #[arg(long)]
    pub(crate) binaries: Option<PathBuf>,
}

fn number_of_nodes(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (3..=1000).contains(number));
    number.ok_or_else(|| "a number from 3 to 1000".to_owned())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    Release,
    Debug,
}

impl Profile {
    /// The name of the profile's directory below target.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Debug => "debug",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct DemoOptions {
    /// Do without RabbitMQ
    #[arg(long)]
    pub(crate) embedded: bool,
    /// Ask nothing
    #[arg(long)]
    pub(crate) yes: bool,
    /// Stop at the end
    #[arg(long)]
    pub(crate) exit: bool,
    #[command(flatten)]
    pub(crate) kind: KindOptions,
}

#[derive(Debug, Args)]
pub(crate) struct UpOptions {
    /// Where the stack lives
    #[arg(long, default_value_os_t = default_dir())]
    pub(crate) dir: PathBuf,
    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// What carries the wake-ups
    #[arg(long, value_enum, default_value_t = Bus::Rabbitmq)]
    pub(crate) bus: Bus,
    /// How many APIs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) apis: u8,
    /// How many taskmanagers
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) taskmanagers: u8,
    /// Leave a daemon dead that dies
    #[arg(long = "no-supervise", action = ArgAction::SetFalse)]
    pub(crate) supervise: bool,
    #[command(flatten)]
    pub(crate) kind: KindOptions,
}

#[derive(Debug, Args)]
pub(crate) struct KindOptions {
    /// The database
    #[arg(long, value_enum, default_value_t = Db::Sqlite)]
    pub(crate) db: Db,
    /// Who checks tokens
    #[arg(long, value_enum, default_value_t = Auth::Static)]
    pub(crate) auth: Auth,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bus {
    Rabbitmq,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Db {
    Sqlite,
    Mariadb,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Auth {
    Static,
    Keystone,
}

fn default_dir() -> PathBuf {
    project_root().join(".stack")
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::{Arguments, Command, Db, UpOptions};

    /// What is asked for after `xtask up`.
    fn up(options: &[&str]) -> UpOptions {
        match Arguments::try_parse_from([&["xtask", "up"], options].concat()).unwrap().command {
            Command::Up(options) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn supervision_is_on_unless_switched_off() {
        assert!(up(&[]).supervise);
        assert!(!up(&["--no-supervise"]).supervise);
    }

    #[test]
    fn a_stack_has_one_of_each_unless_more_are_asked_for() {
        let of = |options: &UpOptions| (options.kind.db, options.apis, options.taskmanagers);
        assert_eq!(of(&up(&[])), (Db::Sqlite, 1, 1));
        assert_eq!(of(&up(&["--db", "mariadb", "--apis", "2", "--taskmanagers", "2"])), (Db::Mariadb, 2, 2));
        for refused in [["--apis", "0"], ["--taskmanagers", "17"], ["--db", "postgresql"]] {
            assert!(Arguments::try_parse_from([&["xtask", "up"], &refused[..]].concat()).is_err(), "{refused:?}");
        }
    }
}
