//! The names and ids in a request's path. What cannot be an id is not found, like an id that nothing has.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request;
use redtrove_core::{ClusterId, Fault, InstanceId};

use crate::fault::Refusal;

/// The path's parameters, decoded.
#[derive(Debug)]
pub struct Segments(Vec<(String, String)>);

impl Segments {
    /// The parameter `name`, empty if the route has none of that name.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// `{cluster_id}`.
    pub fn cluster(&self) -> Result<ClusterId, Refusal> {
        let text = self.get("cluster_id");
        text.parse().map_err(|_| Refusal::no_cluster(shown(text)))
    }

    /// `{instance_id}`.
    pub fn instance(&self) -> Result<InstanceId, Refusal> {
        let text = self.get("instance_id");
        text.parse().map_err(|_| Refusal::no_resource(shown(text)))
    }
}

/// What is repeated of a name that a client chose.
pub fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

impl<S: Send + Sync> FromRequestParts<S> for Segments {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, Refusal> {
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Fault::not_found("The resource could not be found."))?;
        Ok(Self(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}
