//! Keeps passwords out of what is printed.

/// `url` with everything masked that may be a password: what stands between the user's name and the last `@` of the
/// authority, and the values of a query.
pub(crate) fn mask_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "***".to_owned() };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, _)) => (rest, "?***"),
        None => (rest, ""),
    };
    // A raw '/' or '@' in a password is a mistake, but must not show it: everything to the last '@' counts.
    match rest.rsplit_once('@') {
        Some((credentials, place)) => {
            let user = credentials.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:***@{place}{query}")
        }
        None => format!("{scheme}://{rest}{query}"),
    }
}

/// `text` with the credentials of every URL in it masked: somebody wrote one where something else belongs.
pub(crate) fn mask_credentials(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        masked.push_str(before);
        masked.push_str("://");
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`')).unwrap_or(after.len());
        let (url, later) = after.split_at(end);
        match url.rsplit_once('@') {
            Some((_, place)) => {
                masked.push_str("***@");
                masked.push_str(place);
            }
            None => masked.push_str(url),
        }
        rest = later;
    }
    masked.push_str(rest);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_does_not_survive_masking() {
        for (url, masked) in [
            ("sqlite:///var/lib/redtrove.db", "sqlite:///var/lib/redtrove.db"),
            ("mysql://user:canary@db:3306/redtrove", "mysql://user:***@db:3306/redtrove"),
            ("mysql://user@db/redtrove", "mysql://user:***@db/redtrove"),
            ("mysql://user:can/ary@x@db/redtrove", "mysql://user:***@db/redtrove"),
            ("mysql://db/redtrove?password=canary", "mysql://db/redtrove?***"),
            ("canary", "***"),
        ] {
            assert_eq!(mask_url(url), masked);
        }
    }

    #[test]
    fn credentials_in_a_sentence_are_masked() {
        for (text, masked) in [
            ("nothing to hide", "nothing to hide"),
            ("string \"amqp://u:canary@h:1/v\", expected", "string \"amqp://***@h:1/v\", expected"),
            ("cannot read amqp://u:can@ary@h and http://x/y", "cannot read amqp://***@h and http://x/y"),
            ("a://b://u:canary@h", "a://***@h"),
            ("://", "://"),
        ] {
            assert_eq!(mask_credentials(text), masked);
        }
    }
}
