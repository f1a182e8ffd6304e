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
    /// List instances.
    InstanceIndex = "instance:index", Anyone;
    /// Show an instance.
    InstanceShow = "instance:show", Anyone;
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
    /// Show quotas.
    LimitsIndex = "limits:index", Anyone;
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
    fn includes(&self, roles: &[String]) -> bool {
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

    /// Whether `identity` may do what `rule` stands for, in its own project.
    pub fn allows(&self, rule: Rule, identity: &Identity) -> bool {
        match self.0.get(&rule) {
            Some(who) => who.includes(&identity.roles),
            None => rule.default_who().includes(&identity.roles),
        }
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

    #[test]
    fn a_mere_reader_writes_nothing_by_default() {
        let policy = Policy::default();
        for &rule in Rule::ALL {
            let writes = matches!(rule, Rule::ClusterCreate | Rule::ClusterDelete | Rule::ClusterAction);
            for (roles, may) in
                [(&["reader"][..], !writes), (&[], !writes), (&["reader", "member"], true), (&["admin"], true)]
            {
                assert_eq!(policy.allows(rule, &identity(roles)), may, "{rule:?} {roles:?}");
            }
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
