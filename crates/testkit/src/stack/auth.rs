//! Who checks the tokens that the API of a stack is shown.

use anyhow::Result;
use serde_json::{Value, json};

use super::layout::Layout;
use super::{Token, Tokens};
use crate::files::{private_dir, private_file, secret, text};
use crate::keystone::{Access, Cloud, Credentials, Names, Server, Session};
use crate::process::Process;
use crate::stack::block::Block;

/// Who checks tokens.
#[derive(Debug, Clone)]
pub enum Auth {
    /// The API itself, by a file.
    Static,
    /// A Keystone of the stack's own.
    Keystone {
        /// How long its tokens live.
        token_seconds: u32,
    },
    /// A Keystone that runs already.
    At(Access),
}

/// A Keystone that was started for the stack.
pub(super) type Started = Option<(Server, Process)>;

/// Starts Keystone where the stack has its own, and puts projects, users and a catalogue with the API at `api` into it.
/// `progress` is told each step.
///
/// # Errors
/// It does not start, or an error of `progress`.
pub(super) fn start(
    auth: &Auth,
    layout: &Layout,
    block: &Block,
    api: &str,
    progress: &dyn Fn(&str) -> Result<()>,
) -> Result<(Started, Option<Cloud>)> {
    match auth {
        Auth::Static => Ok((None, None)),
        Auth::At(access) => Ok((None, Some(Cloud::seed(access, api, &Names::unique())?))),
        Auth::Keystone { token_seconds } => {
            progress("making Keystone's database")?;
            let dir = layout.dir().join("keystone");
            private_dir(&dir)?;
            let server = Server::prepare(&dir, layout.dir(), block, *token_seconds)?;
            progress("starting Keystone")?;
            let process = server.spawn()?;
            server.wait_ready(&process)?;
            progress("projects, users and a service catalogue")?;
            let cloud = Cloud::seed(&server.access, api, &Names::plain())?;
            Ok((Some((server, process)), Some(cloud)))
        }
    }
}

impl Tokens {
    /// Random ones, for a file.
    pub(super) fn random() -> Self {
        let (ours, other, admin) = (secret(), secret(), secret());
        let token = |project: &String| Token { token: secret(), project_id: project.clone() };
        Self { member: token(&ours), reader: token(&ours), other: token(&other), admin: token(&admin) }
    }

    /// One of Keystone's for each.
    ///
    /// # Errors
    /// Somebody cannot log in.
    pub(super) fn of(cloud: &Cloud) -> Result<Self> {
        let token = |who: &Credentials| -> Result<Token> {
            let session = Session::log_in(who)?;
            Ok(Token { token: session.token, project_id: session.project_id })
        };
        Ok(Self {
            member: token(&cloud.member)?,
            reader: token(&cloud.reader)?,
            other: token(&cloud.other)?,
            admin: token(&cloud.admin)?,
        })
    }
}

/// The API's section `[auth]`; writes the file with the secrets that it names.
pub(super) fn section(layout: &Layout, tokens: &Tokens, cloud: Option<&Cloud>) -> Result<Value> {
    let Some(cloud) = cloud else {
        private_file(&layout.tokens(), &toml::to_string(&file(tokens))?)?;
        return Ok(json!({"strategy": "static", "static_tokens_file": text(&layout.tokens())?}));
    };
    let service = &cloud.service;
    private_file(&layout.keystone_password(), &service.password)?;
    let keystone = json!({
        "auth_url": service.auth_url,
        "username": service.username,
        "password_file": text(&layout.keystone_password())?,
        "project_name": service.project_name,
        "user_domain_name": service.user_domain_name,
        "project_domain_name": service.project_domain_name,
    });
    Ok(json!({"strategy": "keystone", "keystone": keystone}))
}

fn file(tokens: &Tokens) -> Value {
    let entry = |token: &Token, user: &str, role: &str| json!({"token": token.token, "project_id": token.project_id, "user_id": user, "roles": [role]});
    json!({"tokens": [
        entry(&tokens.member, "member", "member"),
        entry(&tokens.reader, "reader", "reader"),
        entry(&tokens.other, "other", "member"),
        entry(&tokens.admin, "admin", "admin"),
    ]})
}
