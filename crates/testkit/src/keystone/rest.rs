//! Keystone's REST API, as far as seeding and tests need it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body};

use super::Access;

/// Keystone hashes passwords and writes to disk, on a machine that may be busy.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What a client needs to log in, under the names that it has in clouds.yaml.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// `http://address:port/v3`.
    pub auth_url: String,
    /// The user.
    pub username: String,
    /// Its password.
    pub password: String,
    /// The project to log in to.
    pub project_name: String,
    /// The domain of the user.
    pub user_domain_name: String,
    /// The domain of the project.
    pub project_domain_name: String,
    /// The region whose services are meant.
    pub region: String,
}

impl Credentials {
    /// The lines that set the openstack command line up.
    pub fn exports(&self) -> Vec<String> {
        [
            ("AUTH_URL", &self.auth_url),
            ("USERNAME", &self.username),
            ("PASSWORD", &self.password),
            ("PROJECT_NAME", &self.project_name),
            ("USER_DOMAIN_NAME", &self.user_domain_name),
            ("PROJECT_DOMAIN_NAME", &self.project_domain_name),
            ("REGION_NAME", &self.region),
        ]
        .iter()
        .map(|(name, value)| format!("export OS_{name}={}", crate::stack::quoted(value)))
        .chain(["export OS_IDENTITY_API_VERSION=3".to_owned()])
        .collect()
    }
}

/// Somebody who is logged in.
#[derive(Debug, Clone)]
pub struct Session {
    agent: Agent,
    url: String,
    /// The token.
    pub token: String,
    /// The id of the project that it is for; empty without one.
    pub project_id: String,
    /// The endpoints in the token's catalogue: type of service, region, interface, URL.
    pub catalogue: Vec<[String; 4]>,
}

impl Session {
    /// Logs in to the project that is named.
    ///
    /// # Errors
    /// Keystone does not answer, or refuses.
    pub fn log_in(who: &Credentials) -> Result<Self> {
        let project = json!({"name": who.project_name, "domain": {"name": who.project_domain_name}});
        Self::open(who, &json!({ "project": project }))
    }

    /// Logs in to nothing: the token is for no project.
    ///
    /// # Errors
    /// As [`Session::log_in`].
    pub fn log_in_unscoped(who: &Credentials) -> Result<Self> {
        Self::open(who, &json!("unscoped"))
    }

    pub(super) fn administrator(access: &Access) -> Result<Self> {
        let word = str::to_owned;
        Self::log_in(&Credentials {
            auth_url: access.auth_url.clone(),
            username: word("admin"),
            password: access.password.clone(),
            project_name: word("admin"),
            user_domain_name: word("Default"),
            project_domain_name: word("Default"),
            region: word(super::FIRST_REGION),
        })
    }

    fn open(who: &Credentials, scope: &Value) -> Result<Self> {
        let user = json!({"name": who.username, "domain": {"name": who.user_domain_name}, "password": who.password});
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": scope,
        }});
        let agent = agent();
        let url = format!("{}/auth/tokens", who.auth_url);
        let (status, header, body) = exchange(&agent, Method::POST, &url, &[], Some(&body))?;
        let token = header.with_context(|| format!("{} cannot log in ({status}): {body}", who.username))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let services = list(&body["token"]["catalog"]);
        let catalogue = services.iter().flat_map(|service| {
            let endpoint =
                |e: &Value| [text(&service["type"]), text(&e["region"]), text(&e["interface"]), text(&e["url"])];
            list(&service["endpoints"]).iter().map(endpoint).collect::<Vec<_>>()
        });
        Ok(Self {
            agent,
            url: who.auth_url.clone(),
            token,
            project_id: text(&body["token"]["project"]["id"]),
            catalogue: catalogue.collect(),
        })
    }

    /// Revokes the session's own token.
    ///
    /// # Errors
    /// Keystone does not answer, or refuses.
    pub fn revoke(&self) -> Result<()> {
        let headers = [("X-Auth-Token", self.token.as_str()), ("X-Subject-Token", &self.token)];
        let url = format!("{}/auth/tokens", self.url);
        match exchange(&self.agent, Method::DELETE, &url, &headers, None)? {
            (204, ..) => Ok(()),
            (status, _, body) => bail!("a token is not revoked ({status}): {body}"),
        }
    }

    /// Makes something, of a kind such as `user`, and returns its id; if there is one of its name, that one's.
    pub(super) fn ensure(&self, kind: &str, what: &Value) -> Result<String> {
        let (status, body) = self.call(Method::POST, &format!("/{kind}s"), Some(&json!({ kind: what })))?;
        let there = if status == 409 { what["name"].as_str() } else { None };
        let id = match there {
            Some(name) => self.list(kind)?.remove(name),
            None => body[kind]["id"].as_str().map(str::to_owned),
        };
        id.with_context(|| format!("no new {kind} ({status}): {body}"))
    }

    /// The ids of all of a kind, by their names.
    pub(super) fn list(&self, kind: &str) -> Result<BTreeMap<String, String>> {
        let (status, body) = self.call(Method::GET, &format!("/{kind}s"), None)?;
        let all = body[format!("{kind}s")].as_array().with_context(|| format!("no {kind}s ({status}): {body}"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(all.iter().map(|one| (text(&one["name"]), text(&one["id"]))).collect())
    }

    /// Gives a user a role in a project, all by their ids.
    pub(super) fn grant(&self, project: &str, user: &str, role: &str) -> Result<()> {
        match self.call(Method::PUT, &format!("/projects/{project}/users/{user}/roles/{role}"), None)? {
            (204, _) => Ok(()),
            (status, body) => bail!("a role is not granted ({status}): {body}"),
        }
    }

    fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let url = format!("{}{path}", self.url);
        let (status, _, body) = exchange(&self.agent, method, &url, &[("X-Auth-Token", &self.token)], body)?;
        Ok((status, body))
    }
}

fn agent() -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(ANSWER_WITHIN))
        .timeout_connect(Some(Duration::from_secs(5)))
        .proxy(None)
        .build();
    config.into()
}

/// Whether somebody answers there.
pub(super) fn answers(url: &str) -> bool {
    exchange(&agent(), Method::GET, url, &[], None).is_ok_and(|(status, ..)| status == 200)
}

/// The status, the header `X-Subject-Token`, and the body.
fn exchange(
    agent: &Agent,
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Result<(u16, Option<String>, Value)> {
    let what = format!("{method} {url}");
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = match body {
        Some(body) => agent.run(request.header("Content-Type", "application/json").body(body.to_string())?),
        None => agent.run(request.body(())?),
    };
    let mut answer: Response<Body> = answer.with_context(|| format!("{what} got no answer"))?;
    let token = answer.headers().get("X-Subject-Token").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let text = answer.body_mut().read_to_string().with_context(|| format!("{what} broke off"))?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok((answer.status().as_u16(), token, body))
}
