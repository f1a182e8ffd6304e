//! The developer's one door: demo, up, down, test, bench, schemathesis, sim, chaos, ci.

mod bench;
mod chaos;
mod ci;
mod cli;
mod compile;
mod demo;
mod interrupt;
mod outcome;
mod packages;
mod say;
mod schemathesis;
mod sim;
mod stacks;
mod tests;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;

use cli::{Arguments, Bench, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => outcome::report(&error),
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Demo(options) => demo::run(&options),
        Command::Up(options) => stacks::up(&options),
        Command::Down { dir } => stacks::down(&dir),
        Command::Guests { dir } => stacks::guests(&dir),
        Command::Stop { dir, daemon } => stacks::stop(&dir, &daemon),
        Command::Start { dir, daemon } => stacks::start(&dir, &daemon),
        Command::Supervise { dir, restart } => stacks::supervise(&dir, restart),
        Command::Test => tests::run(),
        Command::Bench { what: Bench::Formation(options) } => bench::formation::run(&options),
        Command::Bench { what: Bench::Api(options) } => bench::api::run(&options),
        Command::Schemathesis(options) => schemathesis::run(&options),
        Command::Sim(options) => sim::run(&options),
        Command::Chaos { arguments } => chaos::run(&arguments),
        Command::Ci => ci::run(),
    }
}
