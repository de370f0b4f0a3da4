//! What no node lets through, and the state machine refuses all the same.

use storage::inventory::command::{Command, Precondition, Setting};
use storage::inventory::ids::{ITEMS_MAX, Item, UNITS_MAX, VERSIONS_MAX};

/// The first field that is out of range.
pub(super) fn out_of_range(command: &Command) -> Option<&'static str> {
    let wrong = match command {
        Command::Reserve(reserve) if !are_items(&reserve.items) => "items",
        Command::Reserve(reserve) if reserve.ttl_ms == 0 => "ttl_seconds",
        Command::Reserve(reserve) if reserve.wait && reserve.items.len() > 1 => "wait",
        Command::Commit(commit) if !are_part(&commit.items) => "items",
        Command::Release(release) if !are_part(&release.items) => "items",
        Command::Return(back) if !are_part(&back.items) => "items",
        Command::Extend(extend) if extend.ttl_ms == 0 => "ttl_seconds",
        Command::PutSku(put) if put.safety_stock > Some(UNITS_MAX) => "safety_stock",
        Command::PutSku(put) if is_no_limit(put.max_per_customer) => "max_per_customer",
        Command::AdjustSku(adjust) if adjust.delta == 0 => "delta",
        Command::PutSku(put) if are_too_many(&put.precondition) => "If-Match",
        Command::AdjustSku(adjust) if are_too_many(&adjust.precondition) => "If-Match",
        Command::DeleteSku(delete) if are_too_many(&delete.precondition) => "If-Match",
        _ => return None,
    };
    Some(wrong)
}

fn are_part(items: &Option<Vec<Item>>) -> bool {
    items.as_deref().is_none_or(are_items)
}

fn are_items(items: &[Item]) -> bool {
    (1..=ITEMS_MAX).contains(&items.len())
        && items.windows(2).all(|two| two[0].sku < two[1].sku)
        && items.iter().all(|item| (1..=UNITS_MAX).contains(&item.qty))
}

fn is_no_limit(setting: Setting<u64>) -> bool {
    matches!(setting, Setting::Set(limit) if !(1..=UNITS_MAX).contains(&limit))
}

fn are_too_many(precondition: &Precondition) -> bool {
    matches!(precondition, Precondition::Versions(versions) if versions.len() > VERSIONS_MAX)
}
