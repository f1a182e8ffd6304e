//! How to go on from here, with the ids of this very stack.

use redtrove_testkit::stack::Description;

use super::creation::Cluster;
use crate::say;

pub(super) fn show(description: &Description, cluster: &Cluster) {
    for line in lines(description, cluster) {
        say::result(&line);
    }
}

fn lines(description: &Description, cluster: &Cluster) -> Vec<String> {
    let id = &cluster.id;
    let project = &description.project_id;
    let mut lines = vec![
        String::new(),
        "How to go on, in another terminal:".to_owned(),
        String::new(),
        format!("  export TOKEN={}", description.token),
        format!("  export API={}/v1.0/{project}", description.api),
        format!("  curl -s -H \"X-Auth-Token: $TOKEN\" $API/clusters/{id}"),
        format!("  curl -s -H \"X-Auth-Token: $TOKEN\" -X DELETE $API/clusters/{id}"),
        String::new(),
        "  pip install python-openstackclient python-troveclient".to_owned(),
        format!(
            "  openstack --os-auth-type admin_token --os-endpoint $API --os-token $TOKEN database cluster show {id}"
        ),
        String::new(),
    ];
    if let Some(first) = cluster.addresses.first() {
        lines.push(format!("  redis-cli -c -h {} -p {}", first.ip(), first.port()));
        lines.push(format!("  redis-cli --cluster check {first}"));
    }
    lines.push(format!("  {}", description.guests));
    lines.push(format!("  ls {}", description.dir.join("log").display()));
    lines
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use redtrove_testkit::stack::{Description, Grpc};

    use super::{Cluster, lines};

    #[test]
    fn the_commands_hold_real_ids() {
        let description = Description {
            api: "http://127.20.0.1:8779".to_owned(),
            apis: vec!["http://127.20.0.1:8779".to_owned()],
            token: "secret".to_owned(),
            project_id: "p1".to_owned(),
            keystone: None,
            amqp: None,
            db: String::new(),
            dir: PathBuf::from("/tmp/demo"),
            pids: BTreeMap::new(),
            metrics: BTreeMap::new(),
            grpc: Grpc { ca: PathBuf::new(), cert: PathBuf::new(), key: PathBuf::new() },
            guests: "list them".to_owned(),
        };
        let addresses = vec!["127.20.0.5:6379".parse().expect("an address")];
        let text = lines(&description, &Cluster { id: "c1".to_owned(), addresses }).join("\n");
        for part in
            ["TOKEN=secret", "http://127.20.0.1:8779/v1.0/p1", "$API/clusters/c1", "redis-cli -c -h 127.20.0.5 -p 6379"]
        {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        assert!(text.contains("database cluster show c1"), "{text}");
    }
}
