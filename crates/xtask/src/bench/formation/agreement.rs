//! Whether nodes agree that they are one cluster, from their own words over their own ports. Both sides of the
//! benchmark are held to this.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use super::resp::Connection;

/// The slots of a cluster.
const SLOTS: usize = 16_384;

/// How one node sees its cluster.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct View {
    ok: bool,
    /// Each known node's slots, as CLUSTER NODES writes them.
    slots: BTreeMap<String, Vec<String>>,
}

impl View {
    pub(super) fn ask(node: &mut Connection) -> Result<Self> {
        Self::read(&node.ask("CLUSTER INFO")?, &node.ask("CLUSTER NODES")?)
    }

    fn read(info: &str, nodes: &str) -> Result<Self> {
        let state = info.lines().find_map(|line| line.strip_prefix("cluster_state:"));
        let node = |line: &str| {
            let mut fields = line.split(' ').map(str::to_owned);
            let id = fields.next().filter(|id| !id.is_empty()).context("CLUSTER NODES has an empty line")?;
            // id, address, flags, master, ping, pong, epoch, link, then slots.
            Ok((id, fields.skip(7).collect()))
        };
        let slots = nodes.lines().map(node).collect::<Result<_>>()?;
        Ok(Self { ok: state.context("CLUSTER INFO has no state")?.trim() == "ok", slots })
    }

    /// Whether this node says that it is in a working cluster of `size`.
    pub(super) fn is_of(&self, size: usize) -> bool {
        self.ok && self.slots.len() == size
    }
}

/// Checks that nodes with these views are one cluster of `size` masters that share all slots.
pub(super) fn check(views: &[View], size: usize) -> Result<()> {
    let first = views.first().context("no node was asked")?;
    ensure!(views.len() == size, "{} of {size} nodes were asked", views.len());
    for (number, view) in views.iter().enumerate() {
        ensure!(view.is_of(size), "node {number} is not in a working cluster of {size}");
        ensure!(view.slots == first.slots, "nodes 0 and {number} differ in who owns what");
    }
    let mut all = 0;
    for (id, ranges) in &first.slots {
        let owned: usize = ranges.iter().map(|range| count(range)).sum::<Result<_>>()?;
        let even = SLOTS / size..=SLOTS.div_ceil(size);
        ensure!(even.contains(&owned), "node {id} owns {owned} slots, which is not a fair share");
        all += owned;
    }
    ensure!(all == SLOTS, "{all} slots are owned instead of {SLOTS}");
    Ok(())
}

/// The slots in `5` or `0-5460`.
fn count(range: &str) -> Result<usize> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| text.parse::<usize>().with_context(|| format!("{range:?} is no range of slots"));
    Ok((number(last)? + 1).saturating_sub(number(first)?))
}

#[cfg(test)]
mod tests {
    use super::{View, check};

    fn view(state: &str, slots: [&str; 3]) -> View {
        let line =
            |(n, slots): (usize, &&str)| format!("{n:040} 127.0.0.{n}:6379@16379 master - 0 0 {n} connected {slots}");
        let nodes: Vec<String> = slots.iter().enumerate().map(line).collect();
        let info = format!("cluster_enabled:1\r\ncluster_state:{state}\r\ncluster_known_nodes:3\r\n");
        View::read(&info, &(nodes.join("\n") + "\n")).expect("a view")
    }

    const EVEN: [&str; 3] = ["0-5461", "5462-10922", "10923-16383"];

    #[test]
    fn nodes_that_share_all_slots_agree() {
        check(&[view("ok", EVEN), view("ok", EVEN), view("ok", EVEN)], 3).expect("one cluster");
    }

    #[test]
    fn each_way_of_not_agreeing_is_found() {
        let failed = |views: &[View]| check(views, 3).expect_err("no agreement").to_string();
        let ok = || view("ok", EVEN);
        assert!(failed(&[ok(), view("fail", EVEN), ok()]).contains("node 1 is not in a working cluster"));
        assert!(failed(&[ok(), ok()]).contains("2 of 3 nodes"));
        let other = view("ok", ["0-5460", "5461-10922", "10923-16383"]);
        assert!(failed(&[ok(), ok(), other]).contains("0 and 2 differ"));
        let lacking = || view("ok", ["0-5461", "5462-10922", "10923-16382"]);
        assert!(failed(&[lacking(), lacking(), lacking()]).contains("fair share"));
        let hole = || view("ok", ["0-5460", "5461-10921", "10923-16383"]);
        assert!(failed(&[hole(), hole(), hole()]).contains("16383 slots are owned"));
        assert!(check(&[], 0).is_err());
    }

    #[test]
    fn nodes_that_are_not_known_yet_are_missed() {
        let lonely = View::read("cluster_state:ok\r\n", "a 127.0.0.1:6379@16379 myself,master - 0 0 0 connected\n");
        assert!(!lonely.expect("a view").is_of(3));
        assert!(View::read("", "").is_err());
    }
}
