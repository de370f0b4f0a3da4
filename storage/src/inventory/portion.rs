//! A part of what changed: whoever takes all at once holds apply up for as long as all takes.

use std::vec::Drain;

/// Entries that an empty list of changes keeps room for. One that was longer, while nothing could be saved, gives the
/// rest back.
const ROOM_KEPT: usize = 1 << 16;

/// Takes entries off the end of a list: as many as are `left` to be taken, which are fewer by then.
pub(super) fn some_of<'a, T>(list: &'a mut Vec<T>, left: &mut usize) -> Drain<'a, T> {
    if list.is_empty() {
        list.shrink_to(ROOM_KEPT);
    }
    let from = list.len().saturating_sub(*left);
    *left -= list.len() - from;
    list.drain(from..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_taken_in_parts_and_then_gives_its_room_back() {
        let mut list: Vec<usize> = (0..3 * ROOM_KEPT).collect();
        let mut left = 2 * ROOM_KEPT;
        assert!(some_of(&mut list, &mut left).eq(ROOM_KEPT..3 * ROOM_KEPT));
        assert_eq!((left, list.len()), (0, ROOM_KEPT));
        assert_eq!(some_of(&mut list, &mut left).count(), 0);
        left = usize::MAX;
        assert_eq!(some_of(&mut list, &mut left).count(), ROOM_KEPT);
        assert_eq!(left, usize::MAX - ROOM_KEPT);
        assert_eq!(some_of(&mut list, &mut left).count(), 0);
        assert!(list.capacity() <= 2 * ROOM_KEPT, "{}", list.capacity());
    }
}
