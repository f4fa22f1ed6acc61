//! The events: a struct with the interesting fields for each kind that somebody cares about, and a
//! generic one that keeps every other kind whole.
#![allow(clippy::struct_field_names)] // as GitHub names them

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidings::{Event, ToKey};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Repository {
    pub(crate) full_name: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
#[event(name = "github.push", key_with = "Push::repository")]
pub(crate) struct Push {
    repository: Repository,
    #[serde(rename = "ref")]
    pub(crate) reference: String,
    pub(crate) commits: Vec<Commit>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Commit {
    id: String,
    message: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
#[event(name = "github.pull_request", key_with = "PullRequest::repository")]
pub(crate) struct PullRequest {
    repository: Repository,
    pub(crate) action: String,
    pub(crate) pull_request: Ticket,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
#[event(name = "github.issue", key_with = "Issue::repository")]
pub(crate) struct Issue {
    repository: Repository,
    pub(crate) action: String,
    pub(crate) issue: Ticket,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
#[event(name = "github.discussion", key_with = "Discussion::repository")]
pub(crate) struct Discussion {
    repository: Repository,
    pub(crate) action: String,
    pub(crate) discussion: Ticket,
}

/// What issues, pull requests and discussions have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ticket {
    pub(crate) number: u64,
    pub(crate) title: String,
    /// Pull requests only.
    #[serde(default)]
    pub(crate) merged: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
#[event(name = "github.issue_comment", key_with = "IssueComment::repository")]
pub(crate) struct IssueComment {
    repository: Repository,
    action: String,
    issue: Ticket,
    comment: Comment,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Comment {
    body: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
#[event(name = "github.release", key_with = "Release::repository")]
pub(crate) struct Release {
    repository: Repository,
    pub(crate) action: String,
    pub(crate) release: Tag,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tag {
    pub(crate) tag_name: String,
    pub(crate) prerelease: bool,
}

macro_rules! keyed_by_repository {
    ($($event:ty),*) => {$(
        impl $event {
            pub(crate) fn repository(&self) -> &str {
                &self.repository.full_name
            }
        }
    )*};
}
keyed_by_repository!(Push, PullRequest, Issue, Discussion, IssueComment, Release);

/// A webhook of any other kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
#[event(name = "github.other", key_with = "Other::repository")]
pub(crate) struct Other {
    pub(crate) event: String,
    pub(crate) action: Option<String>,
    pub(crate) payload: Value,
}

impl Other {
    /// Not every webhook is about a repository.
    fn repository(&self) -> impl ToKey + use<'_> {
        self.payload["repository"]["full_name"].as_str()
    }
}

/// A webhook as the event that it becomes.
#[derive(Debug)]
pub(crate) enum Webhook {
    Push(Push),
    PullRequest(PullRequest),
    Issue(Issue),
    Discussion(Discussion),
    IssueComment(IssueComment),
    Release(Release),
    Other(Other),
}

impl Webhook {
    pub(crate) fn parse(line: &[u8]) -> serde_json::Result<Self> {
        let whole: Other = serde_json::from_slice(line)?;
        let payload = whole.payload;
        Ok(match whole.event.as_str() {
            "push" => Self::Push(serde_json::from_value(payload)?),
            "pull_request" => Self::PullRequest(serde_json::from_value(payload)?),
            "issues" => Self::Issue(serde_json::from_value(payload)?),
            "discussion" => Self::Discussion(serde_json::from_value(payload)?),
            "issue_comment" => Self::IssueComment(serde_json::from_value(payload)?),
            "release" => Self::Release(serde_json::from_value(payload)?),
            _ => Self::Other(Other { payload, ..whole }),
        })
    }
}
