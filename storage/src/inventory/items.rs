//! The items of a reservation.
//!
//! ```text
//!   one       [ sku | qty | returned ]              in the reservation's record itself
//!   several   [ pointer ] ---> [ item, item, ... ]  shared, as a change of anything else leaves them as they are
//! ```
//!
//! Most carts of a shop that sells single units have one item: a list of its own took 48 bytes more for each hold.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::record::ReservedItem;

/// A list of items that never grows. Cheap to clone. Encoded as any list of them is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservedItems(Form);

/// There is one form for each length, so that two are equal if their forms are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    One(ReservedItem),
    /// Any number but one.
    Several(Arc<[ReservedItem]>),
}

impl Deref for ReservedItems {
    type Target = [ReservedItem];

    fn deref(&self) -> &[ReservedItem] {
        match &self.0 {
            Form::One(item) => std::slice::from_ref(item),
            Form::Several(items) => items,
        }
    }
}

impl DerefMut for ReservedItems {
    /// Of several that others have as well, a copy.
    fn deref_mut(&mut self) -> &mut [ReservedItem] {
        match &mut self.0 {
            Form::One(item) => std::slice::from_mut(item),
            Form::Several(items) => Arc::make_mut(items),
        }
    }
}

impl FromIterator<ReservedItem> for ReservedItems {
    fn from_iter<I: IntoIterator<Item = ReservedItem>>(items: I) -> ReservedItems {
        let mut items = items.into_iter();
        match (items.next(), items.next()) {
            (Some(only), None) => ReservedItems(Form::One(only)),
            (first, second) => {
                ReservedItems(Form::Several(first.into_iter().chain(second).chain(items).collect()))
            }
        }
    }
}

impl<const COUNT: usize> From<[ReservedItem; COUNT]> for ReservedItems {
    fn from(items: [ReservedItem; COUNT]) -> ReservedItems {
        items.into_iter().collect()
    }
}

impl Serialize for ReservedItems {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ReservedItems {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ReservedItems, D::Error> {
        deserializer.deserialize_seq(ReservedItemsVisitor)
    }
}

struct ReservedItemsVisitor;

impl<'de> Visitor<'de> for ReservedItemsVisitor {
    type Value = ReservedItems;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the items of a reservation")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ReservedItems, A::Error> {
        // No room is made for as many as are claimed: whoever claims them may be a damaged file.
        let Some(first) = seq.next_element()? else {
            return Ok(ReservedItems::from([]));
        };
        let Some(second) = seq.next_element()? else {
            return Ok(ReservedItems(Form::One(first)));
        };
        let mut items = vec![first, second];
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(ReservedItems(Form::Several(items.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::ids::Sku;

    fn item(number: u64) -> ReservedItem {
        ReservedItem { sku: Sku::new(&format!("SKU-{number}")).unwrap(), qty: number, returned: number / 2 }
    }

    #[test]
    fn items_are_a_list_whatever_its_length_and_are_encoded_as_one() {
        let config = bincode::config::standard();
        for length in 0..5 {
            let list: Vec<_> = (0..length).map(item).collect();
            let items: ReservedItems = list.iter().cloned().collect();
            assert_eq!((&*items, items.len() as u64), (&*list, length));
            let encoded = bincode::serde::encode_to_vec(&items, config).unwrap();
            assert_eq!(encoded, bincode::serde::encode_to_vec(&list, config).unwrap());
            let (decoded, _) =
                bincode::serde::decode_from_slice::<ReservedItems, _>(&encoded, config).unwrap();
            assert_eq!(decoded, items);
            for other in 0..5 {
                let others: ReservedItems = (0..other).map(item).collect();
                assert_eq!(items == others, length == other);
            }
        }
        assert_ne!(ReservedItems::from([item(1)]), ReservedItems::from([item(2)]));
    }

    #[test]
    fn a_change_of_one_copy_leaves_the_others_as_they_were() {
        for length in 1..4 {
            let items: ReservedItems = (0..length).map(item).collect();
            let mut changed = items.clone();
            changed[0].qty += 1;
            assert_eq!((items[0].qty, changed[0].qty), (0, 1));
        }
    }

    /// Of a million holds of one item each a list beside each record was 48 MB.
    #[test]
    fn a_single_item_lies_where_the_list_is() {
        assert_eq!(size_of::<ReservedItems>(), size_of::<ReservedItem>());
        assert!(matches!(ReservedItems::from([item(1)]).0, Form::One(_)));
    }
}
