//! Deleting a cluster: every machine goes, then the cluster. No node is told; the whole cluster vanishes.

use crate::ids::InstanceId;
use crate::plan::{Next, Step};

/// What is left of a delete: `standing` are the members whose machines are not known to be gone.
pub fn remaining(standing: &[InstanceId]) -> Next {
    if standing.is_empty() {
        return Next::Done;
    }
    Next::Do(vec![Step::Destroy { members: standing.to_vec() }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delete_destroys_whatever_stands_and_then_ends() {
        let members: Vec<InstanceId> = ["416b0b16-ba55-4302-bbd3-ff566032e1c1", "416b0b16-ba55-4302-bbd3-ff566032e1c2"]
            .map(|id| id.parse().unwrap())
            .into();
        assert_eq!(remaining(&members), Next::Do(vec![Step::Destroy { members: members.clone() }]));
        assert_eq!(remaining(&[]), Next::Done);
    }
}
