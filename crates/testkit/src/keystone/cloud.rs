//! Projects, users and a service catalogue for one redtrove.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::rest::{Credentials, Session};
use super::{Access, FIRST_REGION};
use crate::files::secret;

/// How the parts of a cloud are called.
#[derive(Debug, Clone)]
pub struct Names {
    /// At the end of each name of a user or project.
    suffix: String,
    region: String,
}

impl Names {
    /// Plain ones, for a Keystone of one's own.
    pub fn plain() -> Self {
        Self { suffix: String::new(), region: FIRST_REGION.to_owned() }
    }

    /// Ones that nobody else has, for a Keystone that others use too.
    pub fn unique() -> Self {
        let mark = secret();
        Self { suffix: format!("-{mark}"), region: format!("region-{mark}") }
    }
}

/// Who is who.
#[derive(Debug, Clone)]
pub struct Cloud {
    /// The user with which the API checks tokens.
    pub service: Credentials,
    /// A member of the project `demo`.
    pub member: Credentials,
    /// A reader of the same project, and nothing more.
    pub reader: Credentials,
    /// An administrator, in the same project.
    pub admin: Credentials,
    /// A member of the project `other`.
    pub other: Credentials,
}

impl Cloud {
    /// Makes projects, users with roles, and the service `database` whose API is at `api`.
    ///
    /// # Errors
    /// Keystone does not answer, or refuses.
    pub fn seed(access: &Access, api: &str, names: &Names) -> Result<Self> {
        let session = Session::administrator(access)?;
        let roles = ensure_roles(&session)?;
        let seed = Seed { session, access, names, roles };
        seed.catalogue(api)?;
        let (service, demo, other) = (seed.project("service")?, seed.project("demo")?, seed.project("other")?);
        Ok(Self {
            service: seed.user("trove", &service, "service")?,
            member: seed.user("demo", &demo, "member")?,
            reader: seed.user("demo-reader", &demo, "reader")?,
            admin: seed.user("demo-admin", &demo, "admin")?,
            other: seed.user("other", &other, "member")?,
        })
    }
}

/// The ids of the roles by their names. Newer Keystones bring all of them.
fn ensure_roles(session: &Session) -> Result<BTreeMap<String, String>> {
    let mut roles = session.list("role")?;
    if !roles.contains_key("service") {
        let id = session.ensure("role", &json!({"name": "service"}))?;
        roles.insert("service".to_owned(), id);
    }
    Ok(roles)
}

struct Seed<'a> {
    session: Session,
    access: &'a Access,
    names: &'a Names,
    roles: BTreeMap<String, String>,
}

struct Project {
    name: String,
    id: String,
}

impl Seed<'_> {
    fn catalogue(&self, api: &str) -> Result<()> {
        let region = &self.names.region;
        // The one thing whose id its maker chooses; it has no name.
        if region != FIRST_REGION {
            self.session.ensure("region", &json!({ "id": region }))?;
        }
        let service = self.session.ensure("service", &json!({"type": "database", "name": "trove", "enabled": true}))?;
        for interface in ["public", "internal", "admin"] {
            let url = format!("{api}/v1.0/%(project_id)s");
            let endpoint = json!({"service_id": service, "interface": interface, "region_id": region, "url": url});
            self.session.ensure("endpoint", &endpoint)?;
        }
        Ok(())
    }

    fn named(&self, name: &str) -> String {
        format!("{name}{}", self.names.suffix)
    }

    fn project(&self, name: &str) -> Result<Project> {
        let name = self.named(name);
        let id = self.session.ensure("project", &json!({"name": name, "domain_id": "default"}))?;
        Ok(Project { name, id })
    }

    /// A user with this role in this project.
    fn user(&self, name: &str, project: &Project, role: &str) -> Result<Credentials> {
        let (username, password) = (self.named(name), secret());
        let what = json!({"name": username, "domain_id": "default", "password": password});
        let user = self.session.ensure("user", &what)?;
        let role = self.roles.get(role).with_context(|| format!("Keystone knows no role {role}"))?;
        self.session.grant(&project.id, &user, role)?;
        Ok(Credentials {
            auth_url: self.access.auth_url.clone(),
            username,
            password,
            project_name: project.name.clone(),
            user_domain_name: "Default".to_owned(),
            project_domain_name: "Default".to_owned(),
            region: self.names.region.clone(),
        })
    }
}
