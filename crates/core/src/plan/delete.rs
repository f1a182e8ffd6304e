//! Deleting a cluster: every machine goes, then the cluster. No node is told; the whole cluster vanishes.

use crate::ids::InstanceId;
use crate::plan::{Next, Step};

/// What is left of a delete: `standing` are the members whose machines are not known to be gone.
pub fn remaining(standing: &[InstanceId]) -> Next {
    if standing.is_empty() {
        return Next::Done;
    }
    Next::Do(standing.iter().map(|member| Step::Destroy { member: *member }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delete_destroys_whatever_stands_and_then_ends() {
        let member = "416b0b16-ba55-4302-bbd3-ff566032e1c1".parse().unwrap();
        assert_eq!(remaining(&[member]), Next::Do(vec![Step::Destroy { member }]));
        assert_eq!(remaining(&[]), Next::Done);
    }
}
