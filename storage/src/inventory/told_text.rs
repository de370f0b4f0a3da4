//! The key of a kept answer, and the numbers that the answer tells, in one piece of memory.
//!
//! ```text
//!   [ 36 ][ the key, so many bytes ][ numbers ]
//!   of a SKU           [ on_hand ][ held ][ sold ][ safety_stock ][ limit ][ waiting ][ version ]
//!   of a reservation   [ sequence ][ nonce ][ now_ms ][ place in the line ]
//! ```
//!
//! Numbers have 7 bits a byte, the lowest first; each byte but the last has its highest bit set. A limit is a 1 and the
//! number, and a 0 where there is none; so is a place a 0. The figures of most SKUs are some eleven bytes so, and 64 as
//! they are.

use std::num::NonZeroU64;

use super::ids::ReservationId;
use super::kept::FiguresAt;

/// The numbers of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    /// It has none of these.
    None,
    /// The figures of a SKU.
    Figures(FiguresAt),
    /// What the view of a reservation has besides its record.
    View(ViewAt),
}

/// Of which reservation a view is, and of which moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ViewAt {
    pub(super) id: ReservationId,
    pub(super) now_ms: u64,
    /// Its place in the line.
    pub(super) position: Option<NonZeroU64>,
}

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(super) struct ToldText(Box<[u8]>);

impl ToldText {
    /// A key, and numbers.
    pub(super) fn new(key: &str, numbers: &Numbers) -> ToldText {
        let (key_len, told) = (key.len() as u64, numbers.list());
        // The very length: an allocation that is cut short afterwards stays as long as it was.
        let len = length(key_len) + key.len() + told.clone().map(length).sum::<usize>();
        let mut bytes = Vec::with_capacity(len);
        append(key_len, &mut bytes);
        bytes.extend_from_slice(key.as_bytes());
        told.for_each(|number| append(number, &mut bytes));
        ToldText(bytes.into())
    }

    /// The key.
    #[expect(clippy::expect_used, reason = "it was a text when it was put there")]
    pub(super) fn key(&self) -> &str {
        let (key, _) = self.split();
        std::str::from_utf8(key).expect("a key is a text")
    }

    /// Whether that is the key.
    pub(super) fn is_of(&self, key: &str) -> bool {
        self.split().0 == key.as_bytes()
    }

    /// The figures of a SKU; `None` where there are none.
    pub(super) fn figures(&self) -> Option<FiguresAt> {
        let (_, mut rest) = self.split();
        let mut next = || split_number(&mut rest);
        Some(FiguresAt {
            on_hand: next()?,
            held: next()?,
            sold: next()?,
            safety_stock: next()?,
            max_per_customer: if next()? == 0 { None } else { Some(next()?) },
            waiting: next()?,
            version: next()?,
        })
    }

    /// What the view of a reservation has besides its record; `None` where there is none.
    pub(super) fn view_at(&self) -> Option<ViewAt> {
        let (_, mut rest) = self.split();
        let mut next = || split_number(&mut rest);
        let id = ReservationId { sequence: next()?, nonce: next()? };
        Some(ViewAt { id, now_ms: next()?, position: NonZeroU64::new(next()?) })
    }

    fn split(&self) -> (&[u8], &[u8]) {
        let mut rest = &*self.0;
        let key_len = split_number(&mut rest).unwrap_or(0);
        rest.split_at(key_len as usize)
    }
}

impl Numbers {
    /// All of them, in their order.
    fn list(&self) -> impl Iterator<Item = u64> + Clone + use<> {
        let (list, count) = match *self {
            Numbers::None => ([0; 8], 0),
            Numbers::Figures(at) => {
                let FiguresAt { on_hand, held, sold, safety_stock, max_per_customer, waiting, version } = at;
                match max_per_customer {
                    None => ([on_hand, held, sold, safety_stock, 0, waiting, version, 0], 7),
                    Some(limit) => ([on_hand, held, sold, safety_stock, 1, limit, waiting, version], 8),
                }
            }
            Numbers::View(ViewAt { id, now_ms, position }) => {
                let position = position.map_or(0, NonZeroU64::get);
                ([id.sequence, id.nonce, now_ms, position, 0, 0, 0, 0], 4)
            }
        };
        list.into_iter().take(count)
    }
}

/// How many bytes a number takes.
fn length(number: u64) -> usize {
    (u64::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}

fn append(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn split_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(on_hand: u64, version: u64, max_per_customer: Option<u64>) -> FiguresAt {
        FiguresAt { on_hand, held: version, sold: 17, safety_stock: 0, max_per_customer, waiting: 1, version }
    }

    #[test]
    fn keys_and_figures_come_back_as_they_were() {
        let several = [0, 1, 127, 128, 16_383, 16_384, 1_000_000, u64::MAX - 1, u64::MAX];
        for (&number, &other) in several.iter().zip(several.iter().rev()) {
            for limit in [None, Some(0), Some(5), Some(u64::MAX)] {
                let figures = figures(number, other, limit);
                for key in ["", "k", "0123456789abcdef-0123456789abcdef-00", &"k".repeat(70_000)] {
                    let both = ToldText::new(key, &Numbers::Figures(figures));
                    assert_eq!((both.key(), both.figures()), (key, Some(figures)));
                    let id = ReservationId { sequence: number, nonce: other };
                    let at = ViewAt { id, now_ms: other, position: NonZeroU64::new(number) };
                    let view = ToldText::new(key, &Numbers::View(at));
                    assert_eq!((view.key(), view.view_at()), (key, Some(at)));
                    let alone = ToldText::new(key, &Numbers::None);
                    assert_eq!((alone.key(), alone.figures(), alone.view_at()), (key, None, None));
                    assert!(alone.is_of(key) && !alone.is_of("another one"));
                    assert!(Numbers::Figures(figures).list().all(|number| {
                        let mut bytes = Vec::new();
                        append(number, &mut bytes);
                        bytes.len() == length(number)
                    }));
                }
            }
        }
    }

    /// That is what an allocation is rounded up to.
    #[test]
    fn a_key_and_usual_figures_are_48_bytes() {
        let numbers = Numbers::Figures(figures(1_000_000, 21, None));
        let text = ToldText::new("0123456789abcdef-0123456789abcdef-00", &numbers);
        assert!(text.0.len() <= 48, "{}", text.0.len());
    }

    #[test]
    fn a_key_and_the_view_of_a_hold_are_64_bytes() {
        let id = ReservationId { sequence: u64::from(u32::MAX), nonce: u64::MAX };
        let at = ViewAt { id, now_ms: 1_800_000_000_000, position: None };
        let text = ToldText::new("0123456789abcdef-0123456789abcdef-00", &Numbers::View(at));
        assert!(text.0.len() <= 64, "{}", text.0.len());
    }
}
