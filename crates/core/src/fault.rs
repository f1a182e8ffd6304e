//! The one error that the outside sees, free of any transport.
//!
//! REST renders it as Trove's fault body, gRPC as a status, the database keeps its text. The message is for the
//! tenant; what only an operator may read goes to the log beside it, never in here.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of trouble it is. Each kind has one HTTP status and one fault name (Trove's `wsgi.py`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// 400: the request can never be right.
    BadRequest,
    /// 401: no token, or one that is not valid.
    Unauthorized,
    /// 403: right, but not allowed.
    Forbidden,
    /// 404: no such thing, or not one of this project's.
    NotFound,
    /// 405: the path is right, the method is not.
    MethodNotAllowed,
    /// 406: no answer in a form the client accepts.
    NotAcceptable,
    /// 409: the request clashes with the state of things.
    Conflict,
    /// 413: a quota or a size is exceeded.
    OverLimit,
    /// 415: a body of a type that is not read.
    BadMediaType,
    /// 422: not now, the cluster is busy with something else.
    Unprocessable,
    /// 500: our own mistake.
    Internal,
    /// 501: this installation does not do that.
    NotImplemented,
    /// 503: something that we need is down.
    Unavailable,
}

impl FaultKind {
    /// The HTTP status code.
    pub fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::Conflict => 409,
            Self::OverLimit => 413,
            Self::BadMediaType => 415,
            Self::Unprocessable => 422,
            Self::Internal => 500,
            Self::NotImplemented => 501,
            Self::Unavailable => 503,
        }
    }

    /// The key under which Trove puts the fault in its body.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "badRequest",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "itemNotFound",
            Self::MethodNotAllowed => "badMethod",
            Self::NotAcceptable => "notAcceptable",
            Self::Conflict => "conflict",
            Self::OverLimit => "overLimit",
            Self::BadMediaType => "badMediaType",
            Self::Unprocessable => "unprocessableEntity",
            Self::Internal => "instanceFault",
            Self::NotImplemented => "notImplemented",
            Self::Unavailable => "serviceUnavailable",
        }
    }
}

/// An error as the outside sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What kind of trouble.
    pub kind: FaultKind,
    /// One sentence for the tenant.
    pub message: String,
}

impl Fault {
    /// A fault of `kind` with a message for the tenant.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(FaultKind::BadRequest, message)
    }

    /// 403.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Forbidden, message)
    }

    /// 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(FaultKind::NotFound, message)
    }

    /// 500. The message must say nothing of the inside.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Internal, message)
    }

    /// 503.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Unavailable, message)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}
