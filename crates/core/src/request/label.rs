//! Texts that tenants choose: names of clusters, datastores, zones.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A name as Trove's schema has it (`trove/common/apischema.py`, `non_empty_string`): 1 to 255 characters with at
/// least one letter or digit. Letters and digits of every script count, control characters are refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLabel {
    /// It has more than 255 characters.
    #[error("must have at most {} characters", Label::LONGEST)]
    TooLong,
    /// It is empty, or of spaces and signs alone.
    #[error("must contain a letter or a digit")]
    Blank,
    /// It has a line break, a tab, a NUL …
    #[error("must not contain control characters")]
    ControlCharacter,
}

impl Label {
    /// The most characters (not bytes).
    pub const LONGEST: usize = 255;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Label {
    type Error = InvalidLabel;

    fn try_from(text: String) -> Result<Self, InvalidLabel> {
        if text.chars().count() > Self::LONGEST {
            Err(InvalidLabel::TooLong)
        } else if text.chars().any(char::is_control) {
            Err(InvalidLabel::ControlCharacter)
        } else if text.chars().any(char::is_alphanumeric) {
            Ok(Self(text))
        } else {
            Err(InvalidLabel::Blank)
        }
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(text: &str) -> Result<Label, InvalidLabel> {
        text.to_owned().try_into()
    }

    #[test]
    fn names_of_every_script_are_names() {
        for text in ["a", "7", "redis-clstr", " padded ", "größe", "кластер", "集群", "no1 😀", &"é".repeat(255)]
        {
            assert_eq!(label(text).map(String::from), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_is_no_name_is_told_why() {
        for (text, why) in [
            ("", InvalidLabel::Blank),
            ("   ", InvalidLabel::Blank),
            ("-_.", InvalidLabel::Blank),
            ("😀", InvalidLabel::Blank),
            (&"x".repeat(256), InvalidLabel::TooLong),
            ("a\nb", InvalidLabel::ControlCharacter),
            ("a\0", InvalidLabel::ControlCharacter),
        ] {
            assert_eq!(label(text), Err(why), "{text:?}");
        }
    }
}
