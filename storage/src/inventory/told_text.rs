//! The key of a kept answer, and the figures of a SKU where it tells some, in one piece of memory.
//!
//! ```text
//!   [ 36 ][ the key, so many bytes ][ on_hand ][ held ][ sold ][ safety_stock ][ limit ][ waiting ][ version ]
//! ```
//!
//! Numbers have 7 bits a byte, the lowest first; each byte but the last has its highest bit set. A limit is a 1 and the
//! number, and a 0 where there is none. The figures of most SKUs are some eleven bytes so, and 64 as they are.

use super::kept::FiguresAt;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(super) struct ToldText(Box<[u8]>);

impl ToldText {
    /// A key, and figures.
    pub(super) fn new(key: &str, figures: Option<&FiguresAt>) -> ToldText {
        let (key_len, told) = (key.len() as u64, figures.into_iter().flat_map(numbers));
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

    /// The figures; `None` where there are none.
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

    fn split(&self) -> (&[u8], &[u8]) {
        let mut rest = &*self.0;
        let key_len = split_number(&mut rest).unwrap_or(0);
        rest.split_at(key_len as usize)
    }
}

/// The figures as numbers, in their order.
fn numbers(figures: &FiguresAt) -> impl Iterator<Item = u64> + Clone + use<> {
    let FiguresAt { on_hand, held, sold, safety_stock, max_per_customer, waiting, version } = *figures;
    let limited = u64::from(max_per_customer.is_some());
    let first = [on_hand, held, sold, safety_stock, limited].into_iter();
    first.chain(max_per_customer).chain([waiting, version])
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
                    let both = ToldText::new(key, Some(&figures));
                    assert_eq!((both.key(), both.figures()), (key, Some(figures)));
                    let alone = ToldText::new(key, None);
                    assert_eq!((alone.key(), alone.figures()), (key, None));
                    assert!(alone.is_of(key) && !alone.is_of("another one"));
                    assert!(numbers(&figures).all(|number| {
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
        let text = ToldText::new("0123456789abcdef-0123456789abcdef-00", Some(&figures(1_000_000, 21, None)));
        assert!(text.0.len() <= 48, "{}", text.0.len());
    }
}
