//! What is sent to Keystone and what comes back, as much of it as matters here.

use redtrove_core::{ProjectId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::auth::Identity;

/// The body of a login with a password, for a token of a project.
#[derive(Serialize)]
pub(super) struct Login<'a> {
    auth: Auth<'a>,
}

#[derive(Serialize)]
struct Auth<'a> {
    identity: ByPassword<'a>,
    scope: Scope<'a>,
}

#[derive(Serialize)]
struct ByPassword<'a> {
    methods: [&'static str; 1],
    password: Password<'a>,
}

#[derive(Serialize)]
struct Password<'a> {
    user: User<'a>,
}

#[derive(Serialize)]
struct User<'a> {
    name: &'a str,
    domain: Domain<'a>,
    password: &'a str,
}

#[derive(Serialize)]
struct Scope<'a> {
    project: Project<'a>,
}

#[derive(Serialize)]
struct Project<'a> {
    name: &'a str,
    domain: Domain<'a>,
}

#[derive(Serialize)]
struct Domain<'a> {
    name: &'a str,
}

impl<'a> Login<'a> {
    /// `user` and `project` are each a name and the name of its domain.
    pub(super) fn new(user: (&'a str, &'a str), password: &'a str, project: (&'a str, &'a str)) -> Self {
        let user = User { name: user.0, domain: Domain { name: user.1 }, password };
        let identity = ByPassword { methods: ["password"], password: Password { user } };
        let scope = Scope { project: Project { name: project.0, domain: Domain { name: project.1 } } };
        Self { auth: Auth { identity, scope } }
    }
}

/// The body of an answer about a token.
#[derive(Deserialize)]
pub(super) struct Document {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    expires_at: String,
    user: Named,
    project: Option<Named>,
    #[serde(default)]
    roles: Vec<Role>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

#[derive(Deserialize)]
struct Role {
    name: String,
}

impl Document {
    /// When the token ends; none if Keystone writes its times in no way we know.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        let time: jiff::Timestamp = self.token.expires_at.parse().ok()?;
        Some(Timestamp(time.as_millisecond()))
    }

    /// Whether the token is for a project; else it is for a domain, the system, or nothing.
    pub(super) fn has_project(&self) -> bool {
        self.token.project.is_some()
    }

    /// Whom the token speaks for, if it is for a project with an id that is one.
    pub(super) fn identity(self) -> Option<Identity> {
        let project: ProjectId = self.token.project?.id.parse().ok()?;
        let roles = self.token.roles.into_iter().map(|role| role.name).collect();
        Some(Identity { project, user: self.token.user.id, roles })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn document(change: impl FnOnce(&mut Value)) -> Result<Document, serde_json::Error> {
        let mut body = json!({"token": {
            "methods": ["password"], "is_domain": false, "audit_ids": ["x"],
            "issued_at": "2026-11-23T08:00:00.000000Z", "expires_at": "2026-11-23T09:00:00.250000Z",
            "user": {"id": "u1", "name": "alice", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p1", "name": "alpha", "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": "r1", "name": "member"}, {"id": "r2", "name": "reader"}],
        }});
        change(&mut body["token"]);
        serde_json::from_value(body)
    }

    #[test]
    fn a_token_of_a_project_is_read() {
        let read = document(|_| ()).unwrap();
        assert_eq!(read.expires(), Some(Timestamp(1_795_424_400_250)));
        let identity = read.identity().unwrap();
        assert_eq!((identity.project.as_str(), identity.user.as_str()), ("p1", "u1"));
        assert_eq!(identity.roles, ["member", "reader"]);
        assert!(!identity.is_admin());
    }

    #[test]
    fn a_token_of_nothing_has_no_project() {
        for scope in [Value::Null, json!({"domain": {"id": "default"}}), json!({"system": {"all": true}})] {
            let read = document(|token| {
                token.as_object_mut().unwrap().retain(|key, _| key != "project" && key != "roles");
                if let Value::Object(scope) = scope {
                    token.as_object_mut().unwrap().extend(scope);
                }
            });
            assert!(!read.unwrap().has_project());
        }
    }

    #[test]
    fn what_is_no_token_is_not_taken_for_one() {
        assert!(document(|token| token["user"] = Value::Null).is_err());
        assert!(document(|token| token["roles"] = json!("admin")).is_err());
        assert_eq!(document(|token| token["expires_at"] = "soon".into()).unwrap().expires(), None);
        assert!(document(|token| token["project"]["id"] = "../p1".into()).unwrap().identity().is_none());
    }

    #[test]
    fn a_login_has_keystones_form() {
        let login = Login::new(("trove", "Default"), "secret", ("service", "Else"));
        let expected = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": "trove", "domain": {"name": "Default"}, "password": "secret"}}},
            "scope": {"project": {"name": "service", "domain": {"name": "Else"}}},
        }});
        assert_eq!(serde_json::to_value(login).unwrap(), expected);
    }
}
