//! A person at a command line: a program of OpenStack's and the environment that says who he is.

use redtrove_testkit::clients::{Clients, Ended};
use redtrove_testkit::keystone::Credentials;
use redtrove_testkit::stack::Token;
use serde_json::Value;

/// Somebody, with his environment.
pub(super) struct Cli {
    clients: Clients,
    env: Vec<(String, String)>,
}

impl Cli {
    /// Somebody who logs in to Keystone with a password.
    pub(super) fn keystone(clients: &Clients, who: &Credentials) -> Self {
        let set = [
            ("OS_AUTH_URL", &who.auth_url),
            ("OS_USERNAME", &who.username),
            ("OS_PASSWORD", &who.password),
            ("OS_PROJECT_NAME", &who.project_name),
            ("OS_USER_DOMAIN_NAME", &who.user_domain_name),
            ("OS_PROJECT_DOMAIN_NAME", &who.project_domain_name),
            ("OS_REGION_NAME", &who.region),
        ];
        Self::with(clients, &set.map(|(name, value)| (name, value.clone())))
    }

    /// Somebody with a token, who names the API himself.
    pub(super) fn admin_token(clients: &Clients, api: &str, token: &Token) -> Self {
        let endpoint = format!("{api}/v1.0/{}", token.project_id);
        let auth = "admin_token".to_owned();
        Self::with(clients, &[("OS_AUTH_TYPE", auth), ("OS_ENDPOINT", endpoint), ("OS_TOKEN", token.token.clone())])
    }

    fn with(clients: &Clients, set: &[(&str, String)]) -> Self {
        let env = set.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Self { clients: clients.clone(), env }
    }

    fn run(&self, program: &str, args: &[&str]) -> Ended {
        self.clients.run(program, &self.env, args).unwrap()
    }

    /// What a command of `openstack` prints that ends well.
    pub(super) fn ok(&self, args: &[&str]) -> String {
        self.good("openstack", args)
    }

    /// What a command of `trove` prints that ends well.
    pub(super) fn trove(&self, args: &[&str]) -> String {
        self.good("trove", args)
    }

    fn good(&self, program: &str, args: &[&str]) -> String {
        let ended = self.run(program, args);
        assert!(ended.good, "{program} {args:?}: {}{}", ended.said, ended.complained);
        ended.said
    }

    /// What lines of a shell print and complain of, whatever becomes of each.
    pub(super) fn shell(&self, lines: &str) -> String {
        let ended = self.clients.shell(&self.env, lines).unwrap();
        ended.said + &ended.complained
    }

    /// The object that a command of `openstack` shows.
    pub(super) fn show(&self, args: &[&str]) -> Value {
        let said = self.ok(&[args, &["-f", "json"]].concat());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{args:?}: {error}: {said}"))
    }

    /// The rows that a command of `openstack` lists.
    pub(super) fn list(&self, args: &[&str]) -> Vec<Value> {
        self.show(args).as_array().unwrap_or_else(|| panic!("{args:?} lists nothing")).clone()
    }

    /// What a command of `openstack` complains of that must not end well.
    pub(super) fn refused(&self, args: &[&str]) -> String {
        self.bad("openstack", args)
    }

    /// What a command of `trove` complains of that must not end well.
    pub(super) fn trove_refused(&self, args: &[&str]) -> String {
        self.bad("trove", args)
    }

    fn bad(&self, program: &str, args: &[&str]) -> String {
        let ended = self.run(program, args);
        assert!(!ended.good, "{program} {args:?} should have failed: {}", ended.said);
        ended.said + &ended.complained
    }
}

/// One column of rows, as text.
pub(super) fn column(rows: &[Value], name: &str) -> Vec<String> {
    let text = |row: &Value| row[name].as_str().map_or_else(|| row[name].to_string(), str::to_owned);
    rows.iter().map(text).collect()
}
