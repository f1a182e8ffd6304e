//! What is said of work that is done again and again, when it fails.

use tracing::{error, info};

use crate::keeper::Chain;
use crate::ports::StoreError;

/// What was complained of last.
#[derive(Debug, Default)]
pub(crate) struct Complaints(Option<String>);

impl Complaints {
    /// The outcome of one more attempt at `work`, if it went well. A database that does not answer is no more than noted,
    /// as that passes. What needs a person, such as a row that cannot be read, is an error, once until it changes.
    pub(crate) fn hear<T>(&mut self, work: &str, outcome: Result<T, StoreError>) -> Option<T> {
        let error = match outcome {
            Ok(well) => {
                self.0 = None;
                return Some(well);
            }
            Err(error) => error,
        };
        let why = Chain(&error);
        if self.needs_a_person(&error) {
            error!(error = %why, "{work} failed: {why}");
        } else {
            info!(error = %why, "{work} failed: {why}");
        }
        None
    }

    /// Whether this is for a person, who has not been told of it yet.
    fn needs_a_person(&mut self, error: &StoreError) -> bool {
        let why = Chain(error).to_string();
        let is_news = !matches!(error, StoreError::Unavailable(_)) && self.0.as_ref() != Some(&why);
        if is_news {
            self.0 = Some(why);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_told_once_of_what_does_not_pass() {
        let corrupt = |value: &str| StoreError::Corrupt { what: "redis", value: value.to_owned() };
        let away = || StoreError::Unavailable("refused".into());
        let mut complaints = Complaints::default();
        let told = [away(), corrupt("a"), away(), corrupt("a"), corrupt("b"), corrupt("a")];
        assert_eq!(told.map(|error| complaints.needs_a_person(&error)), [false, true, false, false, true, true]);
        assert_eq!(complaints.hear("work", Ok(7)), Some(7));
        assert!(complaints.needs_a_person(&corrupt("a")), "it went well in between");
        assert_eq!(complaints.hear::<()>("work", Err(away())), None);
    }
}
