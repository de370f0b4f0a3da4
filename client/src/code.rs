//! The words of the contract in a problem's `code`, stable for ever.

macro_rules! codes {
    ($($(#[$doc:meta])+ $name:ident = $word:literal;)+) => {
        $($(#[$doc])+ pub const $name: &str = $word;)+

        /// Every one of them.
        pub const ALL: &[&str] = &[$($word),+];
    };
}

codes! {
    /// 400: a field is missing, unknown, of the wrong type or out of range; the problem names it.
    INVALID_REQUEST = "invalid_request";
    /// 401: no token was shown, or one that is none (any more).
    UNAUTHENTICATED = "unauthenticated";
    /// 403: the token's roles do not include the call, or it is bound to other carts.
    FORBIDDEN = "forbidden";
    /// 404: no route answers this path.
    NOT_FOUND = "not_found";
    /// 405: the path answers other methods, which `Allow` lists.
    METHOD_NOT_ALLOWED = "method_not_allowed";
    /// 413: the body is over the limit.
    BODY_TOO_LARGE = "body_too_large";
    /// 415: the body is not JSON by its content type.
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type";
    /// 422: the idempotency key was used with another call or body.
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused";
    /// 409: the cart would fit if live holds lapsed.
    HELD_BY_OTHERS = "held_by_others";
    /// 409: the cart would not fit even if every live hold lapsed.
    INSUFFICIENT_STOCK = "insufficient_stock";
    /// 409: the cart has a live reservation of other items.
    CART_ALREADY_RESERVED = "cart_already_reserved";
    /// 409: the customer would have more units of a SKU than one customer may.
    CUSTOMER_LIMIT = "customer_limit";
    /// 404: no such SKU.
    SKU_NOT_FOUND = "sku_not_found";
    /// 404: no such reservation, or none any more.
    RESERVATION_NOT_FOUND = "reservation_not_found";
    /// 412: the hold has another fencing token.
    FENCING_TOKEN_STALE = "fencing_token_stale";
    /// 410: the hold has expired.
    RESERVATION_EXPIRED = "reservation_expired";
    /// 409: the reservation stands in the line and holds nothing yet.
    RESERVATION_WAITING = "reservation_waiting";
    /// 409: the hold was released or revoked.
    RESERVATION_RELEASED = "reservation_released";
    /// 409: the reservation is committed already.
    ALREADY_COMMITTED = "already_committed";
    /// 409: the deadline would be too long after the grant.
    HOLD_LIMIT = "hold_limit";
    /// 409: nothing was sold that could be returned.
    NOT_COMMITTED = "not_committed";
    /// 409: more would be returned than was sold.
    RETURN_EXCEEDS_SALE = "return_exceeds_sale";
    /// 412: the record is not what If-Match or If-None-Match demands.
    PRECONDITION_FAILED = "precondition_failed";
    /// 409: the SKU has holds, or reservations that wait.
    SKU_HAS_HOLDS = "sku_has_holds";
    /// 410: events before the oldest one that is kept were asked for.
    EVENTS_EXPIRED = "events_expired";
    /// 409: on_hand would fall below what is held.
    STOCK_BELOW_HELD = "stock_below_held";
    /// 409: another change of the membership is under way.
    MEMBERSHIP_CHANGING = "membership_changing";
    /// 409: the id or an address belongs to a member already.
    MEMBER_EXISTS = "member_exists";
    /// 404: no such member.
    MEMBER_NOT_FOUND = "member_not_found";
    /// 409: the node does not answer the leader.
    MEMBER_UNREACHABLE = "member_unreachable";
    /// 409: the node's directory was part of a cluster before.
    MEMBER_NOT_NEW = "member_not_new";
    /// 409: the node has not caught up.
    MEMBER_BEHIND = "member_behind";
    /// 409: the node does not vote.
    MEMBER_IS_LEARNER = "member_is_learner";
    /// 409: the cluster would have too many members, or too few voters.
    MEMBERS_OUT_OF_RANGE = "members_out_of_range";
    /// 409: the voters that would be left could not agree on anything.
    QUORUM_WOULD_BE_LOST = "quorum_would_be_lost";
    /// 409: no other voter took over the lead in time.
    LEADER_NOT_TRANSFERRED = "leader_not_transferred";
    /// 429: more came of one customer or with one token than the cluster allows.
    RATE_LIMITED = "rate_limited";
    /// 503: not executed, since no leader is known.
    NO_LEADER = "no_leader";
    /// 503: not executed, since the leader cannot reach a quorum.
    NO_QUORUM = "no_quorum";
    /// 503: not executed, since too many calls are waiting.
    OVERLOADED = "overloaded";
    /// 503: not executed, since it takes a feature level that is not in force until every node is upgraded.
    FEATURE_NOT_ACTIVE = "feature_not_active";
    /// 504: the command was handed to the log, and its fate could not be learned in time.
    OUTCOME_UNKNOWN = "outcome_unknown";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn every_code_is_one_word_and_stands_once() {
        let distinct: BTreeSet<_> = super::ALL.iter().collect();
        assert_eq!(distinct.len(), super::ALL.len());
        for code in super::ALL {
            assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
        }
    }
}
