//! Parts of a cart: what a commit, a release or a return names of a reservation's items.
//!
//! ```text
//!   holds    A:3 B:1 C:2
//!   part     A:2     C:2       of commit: sold, the rest is for sale again; the reservation is A:2 C:2 then
//!                              of release: for sale again; the reservation is A:1 B:1 then
//! ```
//!
//! Items and parts are sorted by SKU, each SKU once. No part at all means all of it.

use super::ids::{Item, Sku};
use super::items::ReservedItems;
use super::record::ReservedItem;

/// How many units of an item a part names.
pub(super) fn named(part: Option<&[Item]>, item: &ReservedItem) -> u64 {
    part.map_or(item.qty, |part| units_of(part, &item.sku))
}

/// Whether the items have all that the part names.
pub(super) fn is_part(part: Option<&[Item]>, items: &[ReservedItem]) -> bool {
    let there = |wanted: &Item| {
        let place = items.binary_search_by(|item| item.sku.cmp(&wanted.sku));
        place.is_ok_and(|place| wanted.qty <= items[place].qty)
    };
    part.is_none_or(|part| part.iter().all(there))
}

/// Whether the part names every unit of the items.
pub(super) fn is_all(part: Option<&[Item]>, items: &[ReservedItem]) -> bool {
    items.iter().all(|item| named(part, item) == item.qty)
}

/// The items with other quantities; those that are left with none are gone.
pub(super) fn with_units(items: &[ReservedItem], units: impl Fn(&ReservedItem) -> u64) -> ReservedItems {
    let left = items.iter().map(|item| ReservedItem { qty: units(item), ..item.clone() });
    left.filter(|item| item.qty > 0).collect()
}

fn units_of(part: &[Item], sku: &Sku) -> u64 {
    part.binary_search_by(|item| item.sku.cmp(sku)).map_or(0, |place| part[place].qty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sku(name: &str) -> Sku {
        Sku::new(name).unwrap()
    }

    fn items(of: &[(&str, u64)]) -> Vec<ReservedItem> {
        of.iter().map(|&(name, qty)| ReservedItem { sku: sku(name), qty, returned: 0 }).collect()
    }

    fn part(of: &[(&str, u64)]) -> Vec<Item> {
        of.iter().map(|&(name, qty)| Item { sku: sku(name), qty }).collect()
    }

    #[test]
    fn a_part_is_there_whole_or_is_no_part() {
        // The part, whether the items have it, whether it is all of them.
        type Part = &'static [(&'static str, u64)];
        let cases: [(Part, bool, bool); 7] = [
            (&[("A", 1)], true, false),
            (&[("A", 3), ("C", 2)], true, false),
            (&[("A", 3), ("B", 1), ("C", 2)], true, true),
            (&[("A", 4)], false, false),
            (&[("B", 1), ("D", 1)], false, false),
            (&[("0", 1)], false, false),
            (&[], true, false),
        ];
        let held = items(&[("A", 3), ("B", 1), ("C", 2)]);
        for (of, there, all) in cases {
            let part = part(of);
            assert_eq!((is_part(Some(&part), &held), is_all(Some(&part), &held)), (there, all), "{of:?}");
        }
        assert!(is_part(None, &held) && is_all(None, &held));
    }

    #[test]
    fn what_has_no_units_left_is_gone() {
        let (held, part) = (items(&[("A", 3), ("B", 1), ("C", 2)]), part(&[("A", 2), ("C", 2)]));
        let sold = with_units(&held, |item| named(Some(&part), item));
        assert_eq!(*sold, *items(&[("A", 2), ("C", 2)]));
        let rest = with_units(&held, |item| item.qty - named(Some(&part), item));
        assert_eq!(*rest, *items(&[("A", 1), ("B", 1)]));
    }
}
