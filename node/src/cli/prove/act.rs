//! What is done to the cluster: a kind of fault with its particulars, as the schedule draws it.

use rand::Rng;
use rand::rngs::StdRng;

use super::kind::Kind;

/// What is done to the victims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// kill -9.
    Kill,
    /// SIGSTOP.
    Pause,
    /// They and the others are cut off from each other; abruptly: connections break, rather than stand still.
    Partition {
        /// Connections break.
        abrupt: bool,
    },
    /// What they send is held up, or what is sent to them.
    Oneway {
        /// What they send.
        mute: bool,
    },
    /// Their links are cut and healed in turn.
    Flap {
        /// How long each takes, in milliseconds.
        every_ms: u64,
    },
    /// Their links are slow.
    Slow {
        /// Milliseconds for each chunk.
        delay_ms: u64,
        /// Bytes a second.
        bytes_per_s: u64,
    },
    /// Their links' connections break, and each new one takes up to so many milliseconds.
    Reorder {
        /// Milliseconds.
        late_ms: u64,
    },
    /// Connections to them are accepted and not answered.
    Halfopen,
    /// Their wall clocks are wrong.
    Clock {
        /// Milliseconds ahead.
        shift_ms: i64,
        /// Gained, in millionths of what passes.
        drift_ppm: i64,
    },
    /// kill -9 of everybody.
    All,
    /// Their disks suffer.
    Disk(Suffering),
    /// What an operator does, which has no particulars.
    Operation(Kind),
}

/// What is wrong with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suffering {
    /// A sync takes so many milliseconds longer.
    Slow(u64),
    /// There is no room.
    Full,
    /// An fsync fails.
    Fails,
}

impl Act {
    /// One of that kind, by the dice.
    pub(super) fn draw(kind: Kind, dice: &mut StdRng) -> Act {
        match kind {
            Kind::Kill => Act::Kill,
            Kind::Pause => Act::Pause,
            Kind::Partition => Act::Partition { abrupt: dice.random_bool(0.5) },
            Kind::Oneway => Act::Oneway { mute: dice.random_bool(0.5) },
            Kind::Flap => Act::Flap { every_ms: dice.random_range(80..=600) },
            Kind::Slow => Act::Slow {
                delay_ms: dice.random_range(10..=150),
                bytes_per_s: dice.random_range(50_000..=1_000_000),
            },
            Kind::Reorder => Act::Reorder { late_ms: dice.random_range(50..=500) },
            Kind::Halfopen => Act::Halfopen,
            Kind::Clock => clock(dice),
            Kind::All => Act::All,
            Kind::Disk => Act::Disk(match dice.random_range(0..3) {
                0 => Suffering::Slow(dice.random_range(20..=200)),
                1 => Suffering::Full,
                _ => Suffering::Fails,
            }),
            operation => Act::Operation(operation),
        }
    }

    /// Its kind.
    pub(super) fn kind(self) -> Kind {
        match self {
            Act::Kill => Kind::Kill,
            Act::Pause => Kind::Pause,
            Act::Partition { .. } => Kind::Partition,
            Act::Oneway { .. } => Kind::Oneway,
            Act::Flap { .. } => Kind::Flap,
            Act::Slow { .. } => Kind::Slow,
            Act::Reorder { .. } => Kind::Reorder,
            Act::Halfopen => Kind::Halfopen,
            Act::Clock { .. } => Kind::Clock,
            Act::All => Kind::All,
            Act::Disk(_) => Kind::Disk,
            Act::Operation(kind) => kind,
        }
    }

    /// What is done, in a phrase.
    pub(super) fn detail(self) -> String {
        match self {
            Act::Kill => "kill -9, and a new start".to_owned(),
            Act::Pause => "SIGSTOP, and SIGCONT".to_owned(),
            Act::Partition { abrupt: true } => "cut off, connections break".to_owned(),
            Act::Partition { abrupt: false } => "cut off, bytes stand still".to_owned(),
            Act::Oneway { mute: true } => "hears the others and is not heard".to_owned(),
            Act::Oneway { mute: false } => "is heard by the others and hears nothing".to_owned(),
            Act::Flap { every_ms } => format!("cut off and back again every {every_ms} ms"),
            Act::Slow { delay_ms, bytes_per_s } => {
                format!("each chunk {delay_ms} ms late, {} kB/s", bytes_per_s / 1000)
            }
            Act::Reorder { late_ms } => format!("connections break, new ones up to {late_ms} ms late"),
            Act::Halfopen => "connections are accepted and never answered".to_owned(),
            Act::Clock { shift_ms, drift_ppm: 0 } => format!("the wall clock is off by {shift_ms} ms"),
            Act::Clock { shift_ms, drift_ppm } => {
                format!("the wall clock is off by {shift_ms} ms and drifts by {} %", drift_ppm / 10_000)
            }
            Act::All => "kill -9 of every node, and a new start".to_owned(),
            Act::Disk(Suffering::Slow(time_ms)) => format!("every sync takes {time_ms} ms longer"),
            Act::Disk(Suffering::Full) => "the disk is full".to_owned(),
            Act::Disk(Suffering::Fails) => "an fsync fails".to_owned(),
            Act::Operation(kind) => operation(kind).to_owned(),
        }
    }
}

/// At least three seconds wrong: surely more than what it shows can have been on its way.
fn clock(dice: &mut StdRng) -> Act {
    let ahead_ms = dice.random_range(3_000..=120_000);
    let shift_ms = if dice.random_bool(0.5) { ahead_ms } else { -ahead_ms };
    let drift_ppm = if dice.random_bool(0.5) { dice.random_range(-900_000..=900_000) } else { 0 };
    Act::Clock { shift_ms, drift_ppm }
}

fn operation(kind: Kind) -> &'static str {
    match kind {
        Kind::Restart => "a rolling restart",
        Kind::Membership => "a new node joins, leads and leaves",
        Kind::Replace => "a node dies for good, and new ones take its place and give it back",
        Kind::Grow => "from three voters to five, or from five to three, and back",
        Kind::Transfer => "leadership is handed over",
        Kind::Backup => "a backup is taken and verified",
        Kind::Certs => {
            "new certificates, a new authority beside the old one, then without it, and a rolling restart"
        }
        Kind::Tokens => "new tokens, to which the clients change over; the old ones are revoked",
        _ => "",
    }
}
