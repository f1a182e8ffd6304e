//! The fence against late writers: the highest generation this node has seen, on disk before it counts.

use std::sync::Mutex;

use redtrove_guest_rpc::metadata::Generation;

use crate::failure::Failure;
use crate::home::Home;

const FILE: &str = "generation";

/// The highest generation seen. Callers admit one at a time.
#[derive(Debug)]
pub struct Fence(Mutex<Option<Generation>>);

impl Fence {
    /// Reads what was seen before.
    pub fn open(home: &Home) -> Result<Self, Failure> {
        let text = home.read(FILE).map_err(|error| Failure::file(FILE, &error))?;
        let unreadable = |_| Failure::Internal(format!("the file {FILE} does not hold a generation"));
        let highest = text.map(|text| text.trim().parse().map_err(unreadable)).transpose()?;
        Ok(Self(Mutex::new(highest)))
    }

    /// The highest generation seen; absent if none was.
    pub fn highest(&self) -> Option<Generation> {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Lets `given` pass unless a higher one was seen. A new highest is on the disk when this returns.
    pub fn admit(&self, home: &Home, given: Generation) -> Result<(), Failure> {
        let mut highest = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match *highest {
            Some(highest) if given < highest => Err(Failure::Late { given, highest }),
            Some(highest) if given == highest => Ok(()),
            _ => {
                home.write(FILE, &format!("{given}\n")).map_err(|error| Failure::file(FILE, &error))?;
                *highest = Some(given);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_only_grows_and_outlives_the_agent() {
        let place = tempfile::tempdir().unwrap();
        let home = Home::open(place.path()).unwrap();
        let number = |n| Generation::new(n).unwrap();
        let fence = Fence::open(&home).unwrap();
        assert_eq!(fence.highest(), None);
        for n in [3, 3, 7] {
            fence.admit(&home, number(n)).unwrap();
        }
        let fence = Fence::open(&home).unwrap();
        assert_eq!(fence.highest(), Some(number(7)));
        let late = fence.admit(&home, number(6));
        assert!(matches!(late, Err(Failure::Late { highest, .. }) if highest == number(7)));
        fence.admit(&home, number(7)).unwrap();
    }

    #[test]
    fn a_file_that_is_no_generation_stops_the_agent() {
        let place = tempfile::tempdir().unwrap();
        let home = Home::open(place.path()).unwrap();
        home.write(FILE, "x").unwrap();
        assert!(Fence::open(&home).unwrap_err().to_string().contains(FILE));
    }
}
