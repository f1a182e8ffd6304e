//! The operations that are measured, as requests.

use anyhow::{Result, ensure};
use redtrove_testkit::Stack;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::database::Ids;
use super::wrk::Requests;

/// Clusters on a page of a list.
const PAGE: usize = 20;
/// How many pages are asked for in turn, spread over all clusters.
const PAGES: usize = 50;
/// The members of a cluster that is asked for.
pub(super) const MEMBERS: usize = 3;

/// An operation of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Operation {
    List,
    Show,
    ShowInstance,
    Create,
    Delete,
}

impl Operation {
    /// Those that change nothing.
    pub(super) const READS: [Self; 3] = [Self::List, Self::Show, Self::ShowInstance];

    /// Its name in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::List => "list, 20 a page",
            Self::Show => "show",
            Self::ShowInstance => "show instance",
            Self::Create => "create",
            Self::Delete => "delete",
        }
    }

    /// The requests of a load on `clusters`, which are ready and in the order of lists.
    pub(super) fn requests(self, stack: &Stack, clusters: &[Ids]) -> Result<Requests> {
        let lines = self.lines(&base(stack), clusters)?;
        Ok(if self == Self::Delete { Requests::Once(lines) } else { Requests::Again(lines) })
    }

    fn lines(self, base: &str, clusters: &[Ids]) -> Result<Vec<String>> {
        Ok(match self {
            Self::List => pages(base, clusters)?,
            Self::Show => clusters.iter().map(|Ids { cluster, .. }| format!("GET {base}/{cluster}")).collect(),
            Self::ShowInstance => {
                let line = |Ids { cluster, member }: &Ids| format!("GET {base}/{cluster}/instances/{member}");
                clusters.iter().map(line).collect()
            }
            Self::Create => vec![creation(base)],
            Self::Delete => clusters.iter().map(|Ids { cluster, .. }| format!("DELETE {base}/{cluster}")).collect(),
        })
    }
}

/// Requests for so many clusters.
pub(super) fn creations(stack: &Stack, clusters: usize) -> Requests {
    Requests::Once(vec![creation(&base(stack)); clusters])
}

fn base(stack: &Stack) -> String {
    format!("/v1.0/{}/clusters", stack.tokens().member.project_id)
}

fn creation(base: &str) -> String {
    let member = json!({"flavorRef": "1", "volume": {"size": 1}});
    let datastore = json!({"type": "redis", "version": "7.0"});
    let body = json!({"cluster": {"name": "bench", "datastore": datastore, "instances": vec![member; MEMBERS]}});
    format!("POST {base} {body}")
}

/// Full pages, the first one among them.
fn pages(base: &str, clusters: &[Ids]) -> Result<Vec<String>> {
    let pages = (clusters.len() / PAGE).min(PAGES);
    ensure!(pages > 0, "{} clusters are less than a page", clusters.len());
    let page = |number: usize| match (number * (clusters.len() / pages)).checked_sub(1).and_then(|n| clusters.get(n)) {
        Some(Ids { cluster, .. }) => format!("GET {base}?limit={PAGE}&marker={cluster}"),
        None => format!("GET {base}?limit={PAGE}"),
    };
    Ok((0..pages).map(page).collect())
}

#[cfg(test)]
mod tests {
    use super::{Ids, Operation};

    fn ids(number: usize) -> Vec<Ids> {
        (0..number).map(|n| Ids { cluster: format!("c{n}"), member: format!("m{n}") }).collect()
    }

    #[test]
    fn pages_are_full_and_spread_over_all_clusters() {
        let lines = |number| Operation::List.lines("/b", &ids(number)).expect("pages");
        assert_eq!(lines(20), ["GET /b?limit=20"]);
        assert_eq!(lines(59), ["GET /b?limit=20", "GET /b?limit=20&marker=c28"]);
        let many = lines(100_000);
        assert_eq!((many.len(), many[49].as_str()), (50, "GET /b?limit=20&marker=c97999"));
        assert!(Operation::List.lines("/b", &ids(19)).is_err());
    }

    #[test]
    fn every_cluster_has_its_turn() {
        let lines = |operation: Operation| operation.lines("/b", &ids(2)).expect("requests");
        assert_eq!(lines(Operation::Show), ["GET /b/c0", "GET /b/c1"]);
        assert_eq!(lines(Operation::ShowInstance), ["GET /b/c0/instances/m0", "GET /b/c1/instances/m1"]);
        assert_eq!(lines(Operation::Delete), ["DELETE /b/c0", "DELETE /b/c1"]);
        assert!(lines(Operation::Create)[0].starts_with("POST /b {\"cluster\":{"));
    }
}
