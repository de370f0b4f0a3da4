//! Numbers, times and counts as people read them.

use std::fmt::{self, Display};

/// A count with its thousands apart: `412,337`.
pub(super) struct Count(pub(super) u64);

impl Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let digits = self.0.to_string();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// A count and its noun: `1 node`, `3 nodes`.
pub(super) struct Of(pub(super) u64, pub(super) &'static str);

impl Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", Count(self.0), self.1)
    }
}

/// A length of time, in microseconds: `740 us`, `3.2 ms`, `1.8 s`, `10 min`, `2 h 5 min`.
pub(super) struct Span(pub(super) u64);

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let us = self.0;
        match us {
            0 => f.write_str("0 s"),
            1..1_000 => write!(f, "{us} us"),
            1_000..9_950 => write!(f, "{} ms", tenths(us, 1_000)),
            9_950..999_500 => write!(f, "{} ms", us.saturating_add(500) / 1_000),
            999_500..59_950_000 => write!(f, "{} s", tenths(us, 1_000_000)),
            _ => long(f, us.saturating_add(500_000) / 1_000_000),
        }
    }
}

fn long(f: &mut fmt::Formatter, seconds: u64) -> fmt::Result {
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let shown = parts.iter().filter(|(count, _)| *count > 0).take(2);
    for (place, (count, unit)) in shown.enumerate() {
        write!(f, "{}{count} {unit}", if place > 0 { " " } else { "" })?;
    }
    Ok(())
}

/// With one decimal, and without it where it is 0.
fn tenths(value: u64, unit: u64) -> String {
    let tenths = (value.saturating_mul(10) + unit / 2) / unit;
    if tenths.is_multiple_of(10) {
        (tenths / 10).to_string()
    } else {
        format!("{}.{}", tenths / 10, tenths % 10)
    }
}

/// A moment of the run, in microseconds since its start: `0:07.2`, `12:40.0`.
pub(super) struct Moment(pub(super) u64);

impl Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let tenths = self.0.saturating_add(50_000) / 100_000;
        write!(f, "{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
    }
}

/// A part of a whole: `99.98 %`. Never `100 %` where something is missing, nor `0 %` where something is there.
pub(super) struct Share(pub(super) u64, pub(super) u64);

impl Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self(part, whole) = *self;
        match (part, whole) {
            (_, 0) => f.write_str("-"),
            (0, _) => f.write_str("0 %"),
            (part, whole) if part >= whole => f.write_str("100 %"),
            (part, whole) => {
                let percent = 100.0 * part as f64 / whole as f64;
                write!(f, "{:.2} %", percent.clamp(0.01, 99.99))
            }
        }
    }
}

/// A list as a sentence has it: `1`, `1 and 2`, `1, 2 and 3`.
pub(super) struct List<'a, T>(pub(super) &'a [T]);

impl<T: Display> Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (place, item) in self.0.iter().enumerate() {
            let before = match place {
                0 => "",
                last if last + 1 == self.0.len() => " and ",
                _ => ", ",
            };
            write!(f, "{before}{item}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Display>(table: &[(T, &str)]) {
        for (value, expected) in table {
            assert_eq!(value.to_string(), *expected);
        }
    }

    #[test]
    fn counts() {
        check(&[
            (Count(0), "0"),
            (Count(999), "999"),
            (Count(1_000), "1,000"),
            (Count(12_345_678), "12,345,678"),
        ]);
        check(&[(Of(1, "node"), "1 node"), (Of(1_200, "node"), "1,200 nodes")]);
    }

    #[test]
    fn spans() {
        check(&[
            (Span(0), "0 s"),
            (Span(740), "740 us"),
            (Span(3_240), "3.2 ms"),
            (Span(9_960), "10 ms"),
            (Span(999_499), "999 ms"),
            (Span(999_999), "1 s"),
            (Span(1_840_000), "1.8 s"),
            (Span(59_960_000), "1 min"),
            (Span(600_000_000), "10 min"),
            (Span(7_500_000_000), "2 h 5 min"),
        ]);
    }

    #[test]
    fn moments() {
        check(&[(Moment(0), "0:00.0"), (Moment(7_249_000), "0:07.2"), (Moment(760_000_000), "12:40.0")]);
    }

    #[test]
    fn a_share_is_whole_only_where_nothing_is_missing() {
        check(&[
            (Share(0, 0), "-"),
            (Share(0, 5), "0 %"),
            (Share(5, 5), "100 %"),
            (Share(999_999, 1_000_000), "99.99 %"),
            (Share(1, 1_000_000), "0.01 %"),
            (Share(1, 2), "50.00 %"),
        ]);
    }

    #[test]
    fn lists() {
        check(&[
            (List(&[1]), "1"),
            (List(&[1, 2]), "1 and 2"),
            (List(&[1, 2, 3]), "1, 2 and 3"),
            (List(&[]), ""),
        ]);
    }
}
