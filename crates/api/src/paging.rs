//! Pages of lists: `limit` and `marker`, as everywhere in OpenStack.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::request;
use redtrove_core::Fault;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::app::App;
use crate::fault::Refusal;
use crate::links::Links;
use crate::path::shown;
use crate::wire::Link;

/// Which page of a list is asked for.
#[derive(Debug)]
pub struct Paging {
    path: String,
    query: String,
    pairs: Vec<(String, String)>,
    limit: u32,
}

impl Paging {
    /// How many entries the page has at most, 1 or more.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// How many to look for: one more than the page has, to know whether there is another page.
    pub fn look_for(&self) -> u32 {
        self.limit.saturating_add(1)
    }

    /// The last id of the page before, which this one begins after.
    pub fn marker<I: FromStr>(&self) -> Result<Option<I>, Refusal> {
        let Some(text) = self.last("marker") else { return Ok(None) };
        let marker = text.parse().map_err(|_| bad("marker", text, "must be the id of the last entry seen"))?;
        Ok(Some(marker))
    }

    /// What the parameter `name` says, if it is there: `true` or `false`, however it is spelled.
    pub fn choice(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.last(name) {
            None => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(text) => Err(bad(name, text, "must be true or false")),
        }
    }

    /// Cuts `found`, which was looked for with [`look_for`](Self::look_for), to the page, and links to the next one
    /// if there is one.
    pub fn cut<T, I: std::fmt::Display>(&self, found: &mut Vec<T>, links: &Links, id: impl Fn(&T) -> I) -> Vec<Link> {
        let size = usize::try_from(self.limit).unwrap_or(usize::MAX);
        if found.len() <= size {
            return Vec::new();
        }
        found.truncate(size);
        found.last().map_or_else(Vec::new, |last| links.next(&self.path, &self.query, id(last)))
    }

    fn last(&self, name: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// The parameter `limit` in the document: an integer from 1, however long; more than a page has is a page.
#[derive(Debug)]
pub struct Limit;

impl PartialSchema for Limit {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).into()
    }
}

impl ToSchema for Limit {}

fn bad(name: &str, value: &str, rule: &str) -> Refusal {
    Fault::bad_request(format!("The parameter {name} {rule}, not '{}'.", shown(value))).into()
}

impl FromRequestParts<App> for Paging {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut request::Parts, app: &App) -> Result<Self, Refusal> {
        let uri = &parts.uri;
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| Fault::bad_request("The query of the URL cannot be read."))?;
        let most = app.config().api.clusters_page_size.get();
        let (path, query) = (uri.path().to_owned(), uri.query().unwrap_or_default().to_owned());
        let mut paging = Self { path, query, pairs, limit: most };
        if let Some(text) = paging.last("limit") {
            // More than any page has is cut to the page, however long the number.
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let wanted = if digits { text.parse().unwrap_or(u32::MAX) } else { 0 };
            if wanted == 0 {
                return Err(bad("limit", text, "must be an integer of at least 1"));
            }
            paging.limit = wanted.min(most);
        }
        Ok(paging)
    }
}
