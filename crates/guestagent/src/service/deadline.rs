//! How long a caller waits, as it says itself in the metadata `grpc-timeout`.

use std::time::Duration;

use tonic::metadata::MetadataMap;

/// For callers who do not say: longer than redis-server may take for a reply.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long an answer may take: four fifths of what the caller waits, [`PATIENCE`] at most.
pub(super) fn patience(metadata: &MetadataMap) -> Duration {
    let said = metadata.get("grpc-timeout").and_then(|value| parse(value.to_str().ok()?));
    said.map_or(PATIENCE, |waits| (waits / 5 * 4).min(PATIENCE))
}

/// Up to eight digits and a unit, as gRPC defines it.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Duration {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", text.parse().unwrap());
        patience(&metadata)
    }

    #[test]
    fn an_answer_comes_before_the_caller_has_gone() {
        assert_eq!(of("3S"), Duration::from_millis(2400));
        assert_eq!(of("3000m"), Duration::from_millis(2400));
        assert_eq!(of("5000000u"), Duration::from_secs(4));
        assert_eq!(of("1H"), PATIENCE);
        for odd in ["", "S", "3", "3x", "-3S", "999999999S", "3\u{e9}"] {
            assert_eq!(of(odd), PATIENCE, "{odd:?}");
        }
        assert_eq!(patience(&MetadataMap::new()), PATIENCE);
    }
}
