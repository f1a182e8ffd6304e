//! Holding what was answered against what is documented.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::Value;

/// The ids of the documentation, and those that stand for them here.
#[derive(Debug, Default)]
pub(super) struct Documented(BTreeMap<String, String>);

impl Documented {
    /// Every documented field was answered, with the documented value where that can be known. An id of the
    /// documentation stands for the same id throughout. More fields may be there.
    pub(super) fn holds(&mut self, documented: &Value, answered: &Value) {
        self.holds_at("", documented, answered);
    }

    /// The same value with the ids of here.
    pub(super) fn ids(&self, documented: &Value) -> Value {
        let mut text = documented.to_string();
        for (documented, here) in &self.0 {
            text = text.replace(documented, here);
        }
        serde_json::from_str(&text).unwrap()
    }

    fn holds_at(&mut self, at: &str, documented: &Value, answered: &Value) {
        match (documented, answered) {
            (Value::Object(fields), Value::Object(answers)) => {
                for (name, documented) in fields {
                    let at = format!("{at}/{name}");
                    let answered = answers.get(name).unwrap_or_else(|| panic!("no {at} in {answered}"));
                    self.holds_at(&at, documented, answered);
                }
            }
            (Value::Array(documented), Value::Array(links)) if at.ends_with("/links") => {
                assert!(documented.len() == 1 && !links.is_empty(), "{at}: {answered}");
                assert!(
                    links.iter().all(|link| link["href"].is_string() && link["rel"].is_string()),
                    "{at}: {answered}"
                );
            }
            (Value::Array(documented), Value::Array(answers)) => {
                assert_eq!(documented.len(), answers.len(), "{at}: {answered}");
                for (n, (documented, answered)) in documented.iter().zip(answers).enumerate() {
                    self.holds_at(&format!("{at}[{n}]"), documented, answered);
                }
            }
            (Value::String(documented), Value::String(answered)) => self.text_holds(at, documented, answered),
            (Value::Number(documented), Value::Number(_)) if documented.is_f64() => (),
            _ => assert_eq!(answered, documented, "{at}"),
        }
    }

    fn text_holds(&mut self, at: &str, documented: &str, answered: &str) {
        if is_like(documented, "########-####-####-####-############") {
            assert!(is_like(answered, "########-####-####-####-############"), "{at}: {answered}");
            let known = self.0.entry(documented.to_owned()).or_insert_with(|| answered.to_owned());
            assert_eq!(known, answered, "{at}");
            assert_eq!(self.0.values().filter(|id| *id == answered).count(), 1, "{at}: {answered} is two");
        } else if documented.parse::<Ipv4Addr>().is_ok() {
            assert!(answered.parse::<Ipv4Addr>().is_ok(), "{at}: {answered}");
        } else if is_like(documented, "####-##-##T##:##:##") {
            assert!(is_like(answered, "####-##-##T##:##:##"), "{at}: {answered}");
        } else {
            assert_eq!(answered, documented, "{at}");
        }
    }
}

/// Whether a text is this pattern, in which `#` is any hexadecimal digit.
fn is_like(text: &str, pattern: &str) -> bool {
    text.len() == pattern.len()
        && text.chars().zip(pattern.chars()).all(|(c, p)| if p == '#' { c.is_ascii_hexdigit() } else { c == p })
}
