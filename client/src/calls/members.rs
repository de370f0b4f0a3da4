//! Who belongs to the cluster, and who leads it. These calls have no idempotency key: each may be made again, and says
//! so where all was done before.

use std::time::Duration;

use hyper::Method;
use serde::Serialize;

use crate::api::{AddMemberRequest, LeadRequest, MembershipView, ReplaceMemberRequest};
use crate::builder::Client;
use crate::call::{Call, json};
use crate::message::Message;

/// More than a change takes beyond a command.
const CHANGE: Duration = Duration::from_secs(20);

const MEMBERS: &str = "/api/cluster/members";

impl Client {
    /// Adds a new node, which follows without a vote. It runs, and its directory is new.
    ///
    /// Refusals: `member_exists`, `member_unreachable`, `member_not_new`, `members_out_of_range`,
    /// `membership_changing`.
    pub fn add_member(&self, request: &AddMemberRequest) -> Call<MembershipView> {
        self.change(Method::POST, MEMBERS.to_owned(), request)
    }

    /// Lets a learner vote.
    ///
    /// Refusals: `member_not_found`, `member_unreachable`, `member_behind`, `members_out_of_range`,
    /// `quorum_would_be_lost`, `membership_changing`.
    pub fn promote_member(&self, id: u64) -> Call<MembershipView> {
        let message = Message::bodiless(Method::POST, format!("{MEMBERS}/{id}/promote"));
        Call::new(self, Ok(message), json).longer_by(CHANGE)
    }

    /// Has a learner vote in a member's place, which is none any more.
    ///
    /// Refusals: those of a promotion, `member_exists`, `member_is_learner`.
    pub fn replace_member(&self, old: u64, new: u64) -> Call<MembershipView> {
        self.change(Method::POST, format!("{MEMBERS}/{old}/replace"), &ReplaceMemberRequest { by: new })
    }

    /// Removes a member.
    ///
    /// Refusals: `member_not_found`, `members_out_of_range`, `quorum_would_be_lost`, `membership_changing`,
    /// `leader_not_transferred`.
    pub fn remove_member(&self, id: u64) -> Call<MembershipView> {
        self.remove(format!("{MEMBERS}/{id}"))
    }

    /// Removes a member that does not answer, and is to be added again under its id: of three voters two may be left
    /// meanwhile.
    ///
    /// Refusals: as [`Client::remove_member`].
    pub fn remove_member_to_replace(&self, id: u64) -> Call<MembershipView> {
        self.remove(format!("{MEMBERS}/{id}?to_replace=true"))
    }

    /// Has another voter lead: this one, or whichever has most of the log.
    ///
    /// Refusals: `member_not_found`, `member_is_learner`, `member_unreachable`, `member_behind`,
    /// `leader_not_transferred`, `membership_changing`.
    pub fn transfer_leader(&self, to: Option<u64>) -> Call<MembershipView> {
        self.change(Method::POST, "/api/cluster/leader".to_owned(), &LeadRequest { to })
    }

    fn change(&self, method: Method, path: String, request: &impl Serialize) -> Call<MembershipView> {
        Call::new(self, Message::keyless(method, path, request), json).longer_by(CHANGE)
    }

    fn remove(&self, path: String) -> Call<MembershipView> {
        Call::new(self, Ok(Message::bodiless(Method::DELETE, path)), json).longer_by(CHANGE)
    }
}
