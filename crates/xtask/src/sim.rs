//! `cargo xtask sim`: whole installations in a simulated world, one for each seed, in a storm of every kind of trouble.

use anyhow::Result;

use crate::cli::SimOptions;
use crate::interrupt::Interrupt;
use crate::{compile, say};

/// The program that tells the stories; never shipped.
const PROGRAM: &str = "redtrove-simulation";

/// Builds the simulation and searches seeds with it, or tells the story of one.
pub(crate) fn run(options: &SimOptions) -> Result<()> {
    let interrupt = Interrupt::catch()?;
    say::heading("build the simulation");
    let what = ["--release", "--package", "redtrove-engine", "--features", "sim", "--bin", PROGRAM];
    compile::run(compile::cargo().arg("build").args(what), &interrupt)?;
    say::heading("simulate");
    let mut command = compile::cargo();
    command.args(["run", "--quiet"]).args(what).arg("--").args(words(options));
    compile::run(&mut command, &interrupt)
}

/// What the program is told.
fn words(options: &SimOptions) -> Vec<String> {
    if let Some(seed) = options.seed {
        return vec!["--seed".to_owned(), seed.to_string()];
    }
    let mut words = vec!["--seeds".to_owned(), format!("{}..{}", options.seeds.start, options.seeds.end)];
    if let Some(seconds) = options.seconds {
        words.extend(["--seconds".to_owned(), seconds.to_string()]);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_is_told_and_many_are_searched() {
        let all = SimOptions { seeds: 3..9, seconds: None, seed: None };
        assert_eq!(words(&all), ["--seeds", "3..9"]);
        let short = SimOptions { seconds: Some(60), ..all.clone() };
        assert_eq!(words(&short), ["--seeds", "3..9", "--seconds", "60"]);
        assert_eq!(words(&SimOptions { seed: Some(5), ..short }), ["--seed", "5"]);
    }
}
