//! [`ApiError`]: why a request is not answered as it wishes. `row` has the status codes.

mod ports;
mod response;
mod row;

pub use row::problem_codes;

use std::time::Duration;

use crate::{
    job::{Exceeded, Failure},
    spec::Objection,
};

/// Why a request is not answered as it wishes.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// The body or the query cannot be read.
    #[error("{detail}")]
    Malformed {
        /// What is wrong with it.
        detail: String,
    },
    /// The body is not JSON by its own account.
    #[error("the body must be application/json")]
    MediaType,
    /// The body is too large.
    #[error("the body is larger than a job may be")]
    TooLarge,
    /// The path and the query are too long.
    #[error("path and query are longer than a request's may be")]
    UriTooLong,
    /// The request can be read and cannot be carried out.
    #[error("the request cannot be carried out as it is described")]
    Invalid(Vec<Objection>),
    /// There is no such thing.
    #[error("there is no {what}")]
    NotFound {
        /// What was asked for.
        what: &'static str,
    },
    /// It is not there yet, or will never be.
    #[error("the job is {status}; {what} is there once it has succeeded")]
    NotReady {
        /// What was asked for.
        what: &'static str,
        /// How the job stands.
        status: &'static str,
    },
    /// Nobody whom we know.
    #[error("{why}")]
    Unauthorized {
        /// The sentence for the client: what is missing, or what is wrong with the credentials.
        why: String,
    },
    /// Somebody who may not do this.
    #[error("this needs the scope `{scope}`")]
    Forbidden {
        /// The scope that the caller lacks, as users type it.
        scope: &'static str,
    },
    /// The idempotency key of another request.
    #[error("another request had this idempotency key; a new request needs a new key")]
    KeyReused,
    /// The name of another job.
    #[error("the job {id} has this name already; names are unique")]
    NameTaken {
        /// The id of the job that has the name.
        id: String,
    },
    /// An upload of the name of a folder, or in a folder of the name of a file.
    #[error("`{name}` cannot be both a file and a folder of uploads; give one of them another name")]
    FileAndFolder {
        /// The name that both would have.
        name: String,
    },
    /// A job that stands like this cannot be changed so.
    #[error("the job is {status}; {needed}")]
    Refused {
        /// Its status now, as clients see it.
        status: &'static str,
        /// How it would have to stand.
        needed: &'static str,
    },
    /// The job has changed since the client looked.
    #[error("the job has changed since the version that If-Match names")]
    Stale,
    /// No such part of the file.
    #[error("the file has {size} bytes, and the range is not among them")]
    Range {
        /// The size of the whole file, in bytes.
        size: u64,
    },
    /// The caller has used up its rate of requests.
    #[error("too many requests; more are welcome after the time in Retry-After")]
    RateLimited {
        /// How long to wait.
        wait: Duration,
    },
    /// Too many wrong keys came from the caller's address.
    #[error(
        "too many wrong keys or tokens came from your address; they are looked at again after the time in Retry-After"
    )]
    Throttled {
        /// How long to wait.
        wait: Duration,
    },
    /// The caller follows as many streams as it may.
    #[error("you follow as many streams of events as you may at a time; close one, or ask for pages with `after`")]
    Streams,
    /// The caller's tenant has as many requests in hand as it may.
    #[error("as many requests of your tenant are worked on, and answers sent, as may be at a time")]
    Answers,
    /// The body did not come.
    #[error("the body came too slowly")]
    Slow,
    /// The server is asked by a name that is not its own.
    #[error("this server needs no key, so it answers to `localhost` and the names of --allow-host alone")]
    Host,
    /// A page of another site asks.
    #[error("a page of another site may not do this; --cors-origin names those that may")]
    CrossSite,
    /// The tenant holds as much as it may.
    #[error(transparent)]
    Exceeded(Exceeded),
    /// As many requests are worked on as may be at a time.
    #[error("the server works on as many requests as it may at a time")]
    Overloaded,
    /// The answer was not ready in time.
    #[error("the answer was not ready in time")]
    TimedOut,
    /// The process goes away.
    #[error("this server is about to stop; another one, or it itself after a restart, takes requests")]
    Draining,
    /// The database or the artifact store does not answer.
    #[error("the {what} does not answer at the moment")]
    Unavailable {
        /// What does not answer.
        what: &'static str,
    },
    /// A failure of the pipeline, found while a client waits.
    #[error("{}", .0.message)]
    Failed(Box<Failure>),
    /// The path does not take this method.
    #[error("this path does not take this method")]
    Method,
    /// An error of ours.
    #[error("an error of ours; the server's log has more under the request's id")]
    Internal,
}
