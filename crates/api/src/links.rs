//! Links: under which URL the caller reaches this API, and the two that every resource has.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::uri::Authority;
use axum::http::{Extensions, HeaderMap, header, request};
use redtrove_core::ProjectId;

use crate::app::App;
use crate::caller::Caller;
use crate::fault::Refusal;
use crate::wire::Link;

/// The URL of this API as the caller sees it, without a slash at its end.
///
/// `public_endpoint` wins; `X-Forwarded-Proto` and `X-Forwarded-Host` count when they come from one of
/// `trusted_proxies`; otherwise it is what the caller asked for, or where we listen.
pub fn base(app: &App, headers: &HeaderMap, extensions: &Extensions) -> String {
    let config = &app.config().api;
    if let Some(endpoint) = &config.public_endpoint {
        return endpoint.to_string();
    }
    let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let trusted = peer.is_some_and(|peer| config.trusted_proxies.iter().any(|network| network.contains(peer)));
    // Behind several proxies there are several values; the first is that of the one the client spoke to.
    let first = |values: &'_ str| values.split(',').next().unwrap_or_default().trim().to_owned();
    let forwarded = |name: &str| if trusted { text(headers, name).map(first) } else { None };
    let scheme = forwarded("x-forwarded-proto").filter(|proto| matches!(proto.as_str(), "http" | "https"));
    let scheme = scheme.as_deref().unwrap_or("http");
    let host = forwarded("x-forwarded-host").and_then(|host| authority(&host));
    let host = host.or_else(|| text(headers, header::HOST.as_str()).and_then(authority));
    format!("{scheme}://{}", host.unwrap_or_else(|| config.bind().to_string()))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// A host with perhaps a port. Whatever else stands there is no place for a link to lead to.
fn authority(text: &str) -> Option<String> {
    let authority: Authority = text.parse().ok()?;
    (!authority.as_str().contains('@')).then(|| authority.to_string())
}

/// Makes links for the caller of one request.
#[derive(Debug, Clone)]
pub struct Links {
    base: String,
    project: ProjectId,
}

impl Links {
    /// Links below `base` for resources of `project`.
    pub fn new(base: String, project: ProjectId) -> Self {
        Self { base, project }
    }

    /// `self` and `bookmark` of the resource `id` in `collection`, as Trove makes them.
    pub fn of(&self, collection: &str, id: impl std::fmt::Display) -> Vec<Link> {
        let (base, project) = (&self.base, &self.project);
        vec![
            Link { href: format!("{base}/v1.0/{project}/{collection}/{id}"), rel: "self" },
            Link { href: format!("{base}/{collection}/{id}"), rel: "bookmark" },
        ]
    }

    /// The page after `marker`, of the list that was asked for with `path` and `query`: the same URL, with another
    /// marker.
    pub fn next(&self, path: &str, query: &str, marker: impl std::fmt::Display) -> Vec<Link> {
        let others = query.split('&').filter(|pair| !pair.is_empty() && pair.split('=').next() != Some("marker"));
        let query: Vec<String> = others.map(str::to_owned).chain([format!("marker={marker}")]).collect();
        vec![Link { href: format!("{}{path}?{}", self.base, query.join("&")), rel: "next" }]
    }
}

impl FromRequestParts<App> for Links {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut request::Parts, app: &App) -> Result<Self, Refusal> {
        let project = Caller::from_request_parts(parts, app).await?.project().clone();
        Ok(Self::new(base(app, &parts.headers, &parts.extensions), project))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_keeps_every_other_parameter() {
        let links = Links::new("http://h".to_owned(), "p".parse().unwrap());
        let next = |query| links.next("/v1.0/p/clusters", query, "m2").remove(0).href;
        assert_eq!(next(""), "http://h/v1.0/p/clusters?marker=m2");
        assert_eq!(next("limit=2&marker=m1&x=%20y"), "http://h/v1.0/p/clusters?limit=2&x=%20y&marker=m2");
    }

    #[test]
    fn only_a_host_is_a_host() {
        assert_eq!(authority("db.example.org:8779").as_deref(), Some("db.example.org:8779"));
        assert_eq!(authority("[::1]:80").as_deref(), Some("[::1]:80"));
        for text in ["", "a b", "a/b", "user@host", "\"><script>"] {
            assert_eq!(authority(text), None, "{text}");
        }
    }
}
