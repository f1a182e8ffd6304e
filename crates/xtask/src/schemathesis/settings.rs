//! The settings of schemathesis: a token, what counts as wrong, and names of things that are there, without which
//! nearly every request would end at "not found".

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use redtrove_testkit::stack::Token;

/// What is there.
pub(super) struct Known {
    /// A cluster that no request deletes.
    pub(super) cluster: String,
    /// Its members.
    pub(super) members: Vec<String>,
    /// A cluster that is to be deleted.
    pub(super) doomed: String,
}

/// The token is in a file, as arguments can be read by everybody on the machine.
pub(super) fn write(path: &Path, admin: &Token, known: &Known) -> Result<()> {
    let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text(admin, known).as_bytes()));
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn text(admin: &Token, known: &Known) -> String {
    let Known { cluster, members, doomed } = known;
    let (token, project, members) = (&admin.token, &admin.project_id, members.join("\", \""));
    format!(
        r#"warnings = false

[headers]
X-Auth-Token = "{token}"

# What is documented as 501 is meant, and so is 503.
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 501, 503]

[dictionaries]
clusters = {{ values = ["{cluster}"] }}
members = {{ values = ["{members}"] }}
doomed = {{ values = ["{doomed}"] }}
projects = {{ values = ["{project}"] }}
datastores = {{ values = ["redis"] }}
versions = {{ values = ["7.0"] }}
flavors = {{ values = ["1"] }}

[parameters]
"path.project_id" = "{project}"
"path.cluster_id" = {{ dictionary = "clusters", probability = 0.7 }}
"path.instance_id" = {{ dictionary = "members", probability = 0.7 }}
"path.flavor_id" = {{ dictionary = "flavors", probability = 0.7 }}
"path.datastore" = {{ dictionary = "datastores", probability = 0.7 }}
"path.version" = {{ dictionary = "versions", probability = 0.7 }}
"body.cluster.datastore.type" = {{ dictionary = "datastores", probability = 0.8 }}
"body.cluster.datastore.version" = {{ dictionary = "versions", probability = 0.8 }}
"body.cluster.instances[*].flavorRef" = {{ dictionary = "flavors", probability = 0.8 }}
"body.grow[*].flavorRef" = {{ dictionary = "flavors", probability = 0.8 }}
"body.shrink[*].id" = {{ dictionary = "members", probability = 0.5 }}

[[operations]]
include-operation-id = "delete_cluster"
parameters = {{ "path.cluster_id" = {{ dictionary = "doomed", probability = 0.5 }} }}

[[operations]]
include-operation-id = "show_quotas"
parameters = {{ "path.project" = {{ dictionary = "projects", probability = 0.5 }} }}
"#
    )
}
