//! Waiting for a condition with a reason and a deadline, the only way anything here waits.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The pause between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Looks again and again until `condition` yields a value, and gives up after `within`.
///
/// # Errors
/// The first error of `condition`, which ends the wait, or a sentence with `reason` when the time is over.
pub fn wait_for<T>(reason: &str, within: Duration, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if started.elapsed() >= within {
            bail!("waited {} s in vain for {reason}", within.as_secs_f32());
        }
        pause(LOOK_EVERY);
    }
}

/// Tries again and again until `attempt` goes well, and gives up after `within`.
///
/// # Errors
/// The last error of `attempt`, under a sentence with `reason`.
pub fn wait_until_well<T>(reason: &str, within: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let mut last = None;
    let well = wait_for(reason, within, || match attempt() {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            last = Some(error);
            Ok(None)
        }
    });
    well.map_err(|in_vain| match last {
        Some(last) => last.context(in_vain.to_string()),
        None => in_vain,
    })
}

/// Lets `length` pass. For loops that look at something again and again; a test waits with [`wait_for`].
#[expect(clippy::disallowed_methods, reason = "the one place where waiting is made of sleeping")]
pub fn pause(length: Duration) {
    std::thread::sleep(length);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anyhow::bail;

    use super::{wait_for, wait_until_well};

    #[test]
    fn the_value_comes_back_as_soon_as_it_is_there() {
        let mut looks = 0;
        let value = wait_for("the third look", Duration::from_secs(10), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(value.expect("the third look has a value"), 3);
    }

    #[test]
    fn a_wait_in_vain_names_its_reason() {
        let error = wait_for::<()>("a miracle", Duration::from_millis(30), || Ok(None)).expect_err("nothing comes");
        assert!(error.to_string().contains("a miracle"), "{error}");
    }

    #[test]
    fn an_error_ends_the_wait_at_once() {
        let error =
            wait_for::<()>("nothing", Duration::from_secs(600), || anyhow::bail!("broken")).expect_err("it fails");
        assert_eq!(error.to_string(), "broken");
    }

    #[test]
    fn what_went_wrong_last_is_told_when_the_time_is_over() {
        let mut attempts = 0;
        let mut attempt = |good| {
            attempts += 1;
            if attempts < good { bail!("attempt {attempts}") } else { Ok(attempts) }
        };
        assert_eq!(wait_until_well("it to work", Duration::from_secs(20), || attempt(3)).expect("it works"), 3);
        let error = wait_until_well("it to work", Duration::ZERO, || attempt(9)).expect_err("no time is left");
        assert_eq!(format!("{error:#}"), "waited 0 s in vain for it to work: attempt 4");
    }
}
