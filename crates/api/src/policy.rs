//! Who may do what: one table of rules, with Trove's names, overridable in `[policy]`.
//!
//! A token always acts in the project it was issued for; the rules only say what it may do there.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::auth::Identity;

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident = $name:literal, $who:ident;)*) => {
        /// What can be asked for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Rule {
            $($(#[$doc])* #[serde(rename = $name)] $rule,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$rule,)*];

            /// The name in the configuration and in faults.
            pub fn name(self) -> &'static str {
                match self { $(Self::$rule => $name,)* }
            }

            /// Who may, unless the configuration says otherwise.
            pub fn default_who(self) -> Who {
                match self { $(Self::$rule => Who::$who,)* }
            }
        }
    };
}

rules! {
    /// Make a cluster.
    ClusterCreate = "cluster:create", Member;
    /// List clusters.
    ClusterIndex = "cluster:index", Anyone;
    /// Show a cluster.
    ClusterShow = "cluster:show", Anyone;
    /// Show a member of a cluster.
    ClusterShowInstance = "cluster:show_instance", Anyone;
    /// Delete a cluster.
    ClusterDelete = "cluster:delete", Member;
    /// Act on a cluster.
    ClusterAction = "cluster:action", Member;
    /// End what a cluster is busy with.
    ClusterResetStatus = "cluster:reset-status", Admin;
    /// The same, by an action that says that a delete follows.
    ClusterForceDelete = "cluster:force_delete", Member;
    /// List instances.
    InstanceIndex = "instance:index", Anyone;
    /// Show an instance.
    InstanceShow = "instance:show", Anyone;
    /// Change an instance by itself.
    InstanceAction = "instance:action", Member;
    /// List the modules of an instance.
    InstanceModules = "instance:module_list", Anyone;
    /// List modules.
    ModuleIndex = "module:index", Anyone;
    /// Show a module.
    ModuleShow = "module:show", Anyone;
    /// List flavors.
    FlavorIndex = "flavor:index", Anyone;
    /// Show a flavor.
    FlavorShow = "flavor:show", Anyone;
    /// List datastores.
    DatastoreIndex = "datastore:index", Anyone;
    /// Show a datastore.
    DatastoreShow = "datastore:show", Anyone;
    /// List the versions of a datastore.
    DatastoreVersionIndex = "datastore:version_index", Anyone;
    /// Show a version of a datastore.
    DatastoreVersionShow = "datastore:version_show", Anyone;
    /// Show a version by its id alone.
    DatastoreVersionShowByUuid = "datastore:version_show_by_uuid", Anyone;
    /// List the flavors that a version runs on.
    DatastoreFlavors = "datastore:list_associated_flavors", Anyone;
    /// List the types of volume that a version runs on.
    DatastoreVolumeTypes = "datastore:list_associated_volume_types", Anyone;
    /// List types of volume.
    VolumeTypeIndex = "volume_type:index", Anyone;
    /// Show a type of volume.
    VolumeTypeShow = "volume_type:show", Anyone;
    /// Ask whether a cluster's root user is enabled.
    RootIndex = "cluster:extension:root:index", Anyone;
    /// Enable a cluster's root user.
    RootCreate = "cluster:extension:root:create", Member;
    /// Disable a cluster's root user.
    RootDelete = "cluster:extension:root:delete", Member;
    /// Show limits.
    LimitsIndex = "limits:index", Anyone;
    /// Show quotas: the project's own; of others for an admin only, whatever this says.
    QuotaShow = "mgmt:quota:show", Anyone;
    /// Change the quotas of any project.
    QuotaUpdate = "mgmt:quota:update", Admin;
    /// List the clusters of all projects.
    OperatorIndex = "mgmt:cluster:index", Admin;
    /// Show a cluster of any project, deleted or not.
    OperatorShow = "mgmt:cluster:show", Admin;
    /// End what a cluster of any project is busy with.
    OperatorAction = "mgmt:cluster:action", Admin;
}

/// Who may, among those with a token for the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Everybody, readers too.
    Anyone,
    /// Whoever has a role other than `reader`.
    Member,
    /// Whoever has the role `admin`.
    Admin,
    /// Whoever has this role.
    Role(String),
    /// Nobody at all.
    Nobody,
}

impl Who {
    pub(crate) fn includes(&self, roles: &[String]) -> bool {
        let has = |wanted: &str| roles.iter().any(|role| role.eq_ignore_ascii_case(wanted));
        match self {
            Self::Anyone => true,
            Self::Member => roles.iter().any(|role| !role.eq_ignore_ascii_case("reader")),
            Self::Admin => has("admin"),
            Self::Role(role) => has(role),
            Self::Nobody => false,
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("anyone"),
            Self::Member => f.write_str("member"),
            Self::Admin => f.write_str("admin"),
            Self::Role(role) => write!(f, "role:{role}"),
            Self::Nobody => f.write_str("nobody"),
        }
    }
}

impl Serialize for Who {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Who {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "anyone" => Ok(Self::Anyone),
            "member" => Ok(Self::Member),
            "admin" => Ok(Self::Admin),
            "nobody" => Ok(Self::Nobody),
            other => match other.strip_prefix("role:").filter(|role| !role.is_empty()) {
                Some(role) => Ok(Self::Role(role.to_owned())),
                None => Err(de::Error::custom(format_args!(
                    "'{text}' is nobody known, expected anyone, member, admin, nobody or role:<name>"
                ))),
            },
        }
    }
}

/// The table in force.
#[derive(Debug, Clone, Default)]
pub struct Policy(BTreeMap<Rule, Who>);

impl Policy {
    /// The defaults, with `overrides` in place of some.
    pub fn new(overrides: BTreeMap<Rule, Who>) -> Self {
        Self(overrides)
    }

    /// Whether `identity` may do what `rule` stands for, in its own project. Who only reads is asked about before: see
    /// [`only_reads`].
    pub fn allows(&self, rule: Rule, identity: &Identity) -> bool {
        match self.0.get(&rule) {
            Some(who) => who.includes(&identity.roles),
            None => rule.default_who().includes(&identity.roles),
        }
    }
}

/// Whether a token with these roles may look and nothing else, whatever the rules say: it has no role but `reader`.
pub fn only_reads(roles: &[String]) -> bool {
    roles.iter().all(|role| role.eq_ignore_ascii_case("reader"))
}

impl Rule {
    /// Whether it is one of the operators' routes, where Trove answers 401 instead of 403.
    pub fn is_for_operators(self) -> bool {
        self.name().starts_with("mgmt:")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(roles: &[&str]) -> Identity {
        Identity {
            project: "p".parse().unwrap(),
            user: "u".to_owned(),
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
        }
    }

    /// Rule by rule, so that whoever adds one says here whom it is for.
    #[test]
    fn the_defaults_are_troves() {
        let policy = Policy::default();
        for &rule in Rule::ALL {
            let (name, kind) = rule.name().rsplit_once(':').unwrap();
            let member = match (name, kind) {
                ("mgmt:cluster" | "mgmt:quota", kind) => kind == "show" && name == "mgmt:quota",
                (_, kind) => kind != "reset-status",
            };
            let reader = member && !["create", "delete", "action", "force_delete"].contains(&kind);
            for (roles, may) in
                [(&["reader"][..], reader), (&[], reader), (&["reader", "member"], member), (&["admin"], true)]
            {
                assert_eq!(policy.allows(rule, &identity(roles)), may, "{rule:?} {roles:?}");
            }
        }
    }

    #[test]
    fn who_has_another_role_does_not_only_read() {
        for (roles, only) in [
            (&["reader"][..], true),
            (&["Reader"], true),
            (&[], true),
            (&["reader", "member"], false),
            (&["admin"], false),
        ] {
            assert_eq!(only_reads(&identity(roles).roles), only, "{roles:?}");
        }
    }

    #[test]
    fn each_kind_of_who_reads_back_and_decides() {
        for (text, roles, may) in [
            ("anyone", &["reader"][..], true),
            ("member", &["reader"], false),
            ("member", &["Member"], true),
            ("admin", &["member"], false),
            ("admin", &["Admin"], true),
            ("role:dba", &["admin"], false),
            ("role:dba", &["dba"], true),
            ("nobody", &["admin"], false),
        ] {
            let who: Who = serde_json::from_value(text.into()).unwrap();
            assert_eq!(who.to_string(), text);
            let policy = Policy::new(BTreeMap::from([(Rule::ClusterShow, who)]));
            assert_eq!(policy.allows(Rule::ClusterShow, &identity(roles)), may, "{text} {roles:?}");
        }
        for text in ["", "role:", "everyone", "rule:admin"] {
            assert!(serde_json::from_value::<Who>(text.into()).is_err(), "{text}");
        }
    }

    #[test]
    fn rules_are_known_by_their_names() {
        for &rule in Rule::ALL {
            assert_eq!(serde_json::to_value(rule).unwrap(), rule.name());
        }
    }
}
