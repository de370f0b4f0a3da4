//! What waits to be proposed: units of one or many commands, and how each learns its answers.
//!
//! ```text
//!   submit          one command      One(oneshot)  ----------------------> answer
//!   submit_many     a unit of n      Part(0..n)    --\
//!   forwarded call  units of n, m .. Part(0..n)    ---+--> gathering ----> answers, one wake for all of them
//!                                    Part(n..n+m)  --/
//! ```
//!
//! The commands of a unit stay together: in the queue, on the way to the leader, and in a log entry as far as one can
//! carry them. Each has an answer of its own all the same.
//!
//! Invariants:
//! * A command that nobody answers is unknown: a reply that is dropped says so.
//! * The queue counts commands, not units: a unit that does not find room for all of it is refused whole.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use storage::inventory::command::{Command, Request};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::{Answer, ProposeError};

pub(crate) type Result = std::result::Result<Answer, ProposeError>;

/// Commands that were handed in together. The common case costs no list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Requests {
    /// One command.
    One(Request),
    /// A unit of many.
    Many(Vec<Request>),
}

impl Requests {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// All of them, in order.
    pub(crate) fn as_slice(&self) -> &[Request] {
        match self {
            Requests::One(request) => std::slice::from_ref(request),
            Requests::Many(requests) => requests,
        }
    }

    /// Whether it is the leader's own tick.
    pub(crate) fn is_tick(&self) -> bool {
        matches!(self, Requests::One(Request { command: Command::Tick, .. }))
    }

    /// Whether it is the leader's own word that a feature level is in force.
    pub(crate) fn is_raise(&self) -> bool {
        matches!(self, Requests::One(Request { command: Command::RaiseLevel(_), .. }))
    }

    /// Drops the commands that something is said against, one for each. One command alone becomes a unit of none.
    pub(crate) fn keep(&mut self, against: &[Option<ProposeError>]) {
        if against.iter().all(Option::is_none) {
            return;
        }
        let requests = match std::mem::replace(self, Requests::Many(Vec::new())) {
            Requests::One(request) => vec![request],
            Requests::Many(requests) => requests,
        };
        let kept = requests.into_iter().zip(against).filter(|(_, against)| against.is_none());
        *self = Requests::Many(kept.map(|(request, _)| request).collect());
    }

    /// What is left of a unit without its first commands; of one command, it itself.
    fn without_first(self, commands: usize) -> Requests {
        match self {
            Requests::Many(mut requests) => Requests::Many(requests.split_off(commands)),
            one => one,
        }
    }
}

/// A unit on its way from another node to the leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Forwarded {
    pub(crate) requests: Requests,
    /// Who handed it in, where that counts.
    pub(crate) caller: Option<Box<str>>,
    /// Whether a leader counted it at an earlier try.
    pub(crate) counted: bool,
}

/// A unit and who waits for its answers.
pub(crate) struct Waiting {
    pub(crate) requests: Requests,
    pub(crate) waiter: Waiter,
    /// The answer where patience ends before it could be handed to anyone.
    pub(crate) refusal: ProposeError,
}

impl Waiting {
    pub(crate) fn new(requests: Requests, since: Instant, forwarded: bool, reply: Reply) -> Waiting {
        Waiter { since, forwarded, ungated: false, caller: None, counted: false, reply }.with(requests)
    }

    /// The same, handed in by that caller.
    pub(crate) fn of(mut self, caller: Option<Box<str>>) -> Waiting {
        self.waiter.caller = caller;
        self
    }

    /// What is sent to the leader, and what stays here meanwhile.
    pub(crate) fn into_forwarded(mut self) -> (Forwarded, Waiter) {
        let (caller, counted) = (self.waiter.caller.take(), self.waiter.counted);
        (Forwarded { requests: self.requests, caller, counted }, self.waiter)
    }

    /// How many commands it has.
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Gives each command its answer, in order: takes as many as there are commands.
    pub(crate) fn answer(self, answers: &mut impl Iterator<Item = Result>) {
        self.waiter.reply.answer(answers);
    }

    /// Answers all its commands with the same.
    pub(crate) fn refuse(self, why: ProposeError) {
        self.answer(&mut std::iter::repeat(Err(why)));
    }

    /// Gives its first commands, not all of them, their answers. What is left can be tried again.
    pub(crate) fn answer_first(self, commands: usize, answers: &mut impl Iterator<Item = Result>) -> Waiting {
        let requests = self.requests.without_first(commands);
        let reply = match self.waiter.reply {
            Reply::Part(mut part) => {
                part.split_first(commands).answer(answers);
                Reply::Part(part)
            }
            one => one,
        };
        Waiting { requests, waiter: Waiter { reply, ..self.waiter }, refusal: self.refusal }
    }
}

/// A [`Waiting`] without its commands.
pub(crate) struct Waiter {
    pub(crate) since: Instant,
    /// It came from a node that took this one for the leader: it is not passed on again.
    pub(crate) forwarded: bool,
    /// It is for the leader to say whether it is surely refused: this node could not tell in time.
    pub(crate) ungated: bool,
    /// Who handed it in, where that counts.
    pub(crate) caller: Option<Box<str>>,
    /// A leader has counted it, and could not execute it.
    pub(crate) counted: bool,
    pub(crate) reply: Reply,
}

impl Waiter {
    /// The whole again.
    pub(crate) fn with(self, requests: Requests) -> Waiting {
        Waiting { requests, waiter: self, refusal: ProposeError::NoLeader }
    }
}

/// Where the answers to a unit go.
pub(crate) enum Reply {
    /// To whoever handed in one command.
    One(oneshot::Sender<Result>),
    /// Into the gathering that the unit is a part of.
    Part(Part),
}

impl Reply {
    fn answer(self, answers: &mut impl Iterator<Item = Result>) {
        match self {
            Reply::One(reply) => {
                if let Some(answer) = answers.next() {
                    // Whoever asked may have given up: there is nobody to tell.
                    let _ = reply.send(answer);
                }
            }
            Reply::Part(part) => part.answer(answers),
        }
    }

    /// Whether whoever asked has given up.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Reply::One(reply) => reply.is_closed(),
            Reply::Part(part) => part.gathering.answers().is_empty(),
        }
    }
}

/// Answers on their way to one who waits for all of them.
struct Gathering {
    /// One for each command, unknown until it is answered. None are left once nobody waits any more.
    answers: Mutex<Vec<Result>>,
    unanswered: AtomicUsize,
    done: Notify,
}

impl Gathering {
    fn answers(&self) -> MutexGuard<'_, Vec<Result>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Some consecutive commands of a gathering. Dropped without answers, it leaves them unknown.
pub(crate) struct Part {
    gathering: Arc<Gathering>,
    place: Range<usize>,
}

impl Part {
    /// Gives each command its answer, in order: takes as many as there are commands.
    pub(crate) fn answer(self, answers: &mut impl Iterator<Item = Result>) {
        let mut gathered = self.gathering.answers();
        for (place, answer) in self.place.clone().zip(answers) {
            // There is no slot where whoever asked has given up.
            if let Some(slot) = gathered.get_mut(place) {
                *slot = answer;
            }
        }
    }

    /// Cuts off its first commands.
    pub(crate) fn split_first(&mut self, commands: usize) -> Part {
        let middle = self.place.end.min(self.place.start + commands);
        let place = self.place.start..middle;
        self.place.start = middle;
        Part { gathering: self.gathering.clone(), place }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let commands = self.place.len();
        if commands > 0 && self.gathering.unanswered.fetch_sub(commands, Ordering::AcqRel) == commands {
            self.gathering.done.notify_one();
        }
    }
}

/// Waits for all answers of a gathering. Dropping it is giving up.
pub(crate) struct Answers(Arc<Gathering>);

impl Answers {
    /// All answers; those that have not come by the deadline are unknown.
    pub(crate) async fn wait(self, deadline: Instant) -> Vec<Result> {
        if self.0.unanswered.load(Ordering::Acquire) > 0 {
            // Late or not, what is there is taken.
            let _ = timeout_at(deadline, self.0.done.notified()).await;
        }
        std::mem::take(&mut *self.0.answers())
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.0.answers().clear();
    }
}

/// A gathering of so many commands: the whole of it as one part, and who waits for it.
pub(crate) fn gathering(commands: usize) -> (Part, Answers) {
    let gathering = Arc::new(Gathering {
        answers: Mutex::new(vec![Err(ProposeError::OutcomeUnknown); commands]),
        unanswered: AtomicUsize::new(commands),
        done: Notify::new(),
    });
    (Part { gathering: gathering.clone(), place: 0..commands }, Answers(gathering))
}

/// A queue that is bounded by its commands, however many of them a unit has.
pub(crate) fn queue(commands_max: usize) -> (Queue, Queued) {
    let (units, queued) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(commands_max));
    (Queue { units, room: room.clone(), commands_max }, Queued { queued, room })
}

/// The way into a queue. A cheap handle.
#[derive(Clone)]
pub(crate) struct Queue {
    units: mpsc::UnboundedSender<Waiting>,
    room: Arc<Semaphore>,
    commands_max: usize,
}

impl Queue {
    /// Queues a unit, or refuses it at once where there is no room for all of it.
    pub(crate) fn push(&self, waiting: Waiting) {
        let commands = u32::try_from(waiting.len()).ok();
        match commands.and_then(|commands| self.room.try_acquire_many(commands).ok()) {
            Some(room) => {
                room.forget();
                // The worker ends only with the group: then the reply is dropped, and says that it is unknown.
                let _ = self.units.send(waiting);
            }
            None => waiting.refuse(ProposeError::Overloaded),
        }
    }

    /// How many commands wait in it.
    pub(crate) fn commands(&self) -> usize {
        self.commands_max - self.room.available_permits()
    }
}

/// The way out of a queue.
pub(crate) struct Queued {
    queued: mpsc::UnboundedReceiver<Waiting>,
    room: Arc<Semaphore>,
}

impl Queued {
    /// The next unit, once there is one; `None` after the last sender has gone.
    pub(crate) async fn next(&mut self) -> Option<Waiting> {
        let waiting = self.queued.recv().await;
        waiting.inspect(|waiting| self.room.add_permits(waiting.len()))
    }

    /// The next unit, where there is one already.
    pub(crate) fn try_next(&mut self) -> Option<Waiting> {
        let waiting = self.queued.try_recv().ok();
        waiting.inspect(|waiting| self.room.add_permits(waiting.len()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use storage::inventory::command::Command;

    use super::*;

    const UNKNOWN: Result = Err(ProposeError::OutcomeUnknown);
    const NO_LEADER: Result = Err(ProposeError::NoLeader);

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    fn unit(commands: usize) -> (Waiting, Answers) {
        let tick = Request { idempotency_key: None, command: Command::Tick };
        let (part, answers) = gathering(commands);
        (
            Waiting::new(Requests::Many(vec![tick; commands]), Instant::now(), false, Reply::Part(part)),
            answers,
        )
    }

    #[tokio::test]
    async fn answers_come_in_order_from_wherever_they_are_given() {
        let (mut rest, answers) = gathering(5);
        let (first, second) = (rest.split_first(2), rest.split_first(2));
        second.answer(&mut std::iter::repeat(NO_LEADER));
        drop(first);
        rest.answer(&mut [NO_LEADER, NO_LEADER].into_iter());
        let far = Instant::now() + Duration::from_secs(3_600);
        assert_eq!(answers.wait(far).await, [UNKNOWN, UNKNOWN, NO_LEADER, NO_LEADER, NO_LEADER]);
    }

    #[tokio::test]
    async fn what_has_not_come_by_the_deadline_is_unknown() {
        let (mut rest, answers) = gathering(3);
        rest.split_first(1).answer(&mut [NO_LEADER].into_iter());
        assert_eq!(answers.wait(soon()).await, [NO_LEADER, UNKNOWN, UNKNOWN]);
        // Nobody listens any more, and that is no mistake.
        assert!(Reply::Part(rest.split_first(1)).is_closed());
        rest.answer(&mut [NO_LEADER].into_iter());
    }

    #[tokio::test]
    async fn a_gathering_of_nothing_waits_for_nothing() {
        let (_part, answers) = gathering(0);
        assert_eq!(answers.wait(Instant::now() + Duration::from_secs(3_600)).await, []);
    }

    #[tokio::test]
    async fn a_unit_that_was_given_up_takes_its_answers_from_nobody_behind_it() {
        let ((gone, given_up), (stays, answers)) = (unit(2), unit(1));
        assert!(!gone.waiter.reply.is_closed());
        drop(given_up);
        assert!(gone.waiter.reply.is_closed());
        let mut told = [NO_LEADER, NO_LEADER, Err(ProposeError::NoQuorum)].into_iter();
        gone.answer(&mut told);
        stays.answer(&mut told);
        assert_eq!(answers.wait(soon()).await, [Err(ProposeError::NoQuorum)]);
    }

    #[tokio::test]
    async fn the_queue_counts_commands_and_takes_a_unit_whole_or_not_at_all() {
        let (queue, mut queued) = queue(10);
        let (fits, _kept) = unit(7);
        queue.push(fits);
        let (too_much, refused) = unit(4);
        queue.push(too_much);
        assert_eq!(refused.wait(soon()).await, vec![Err(ProposeError::Overloaded); 4]);
        let (fills, _kept) = unit(3);
        queue.push(fills);
        assert_eq!(queue.commands(), 10);
        assert_eq!(queued.next().await.map(|waiting| waiting.len()), Some(7));
        assert_eq!(queue.commands(), 3);
        assert_eq!(queued.try_next().map(|waiting| waiting.len()), Some(3));
        assert!(queued.try_next().is_none());
        assert_eq!(queue.commands(), 0);
    }

    #[tokio::test]
    async fn a_unit_whose_first_commands_are_answered_is_tried_without_them() {
        let (waiting, answers) = unit(3);
        let rest = waiting.answer_first(2, &mut [UNKNOWN, NO_LEADER].into_iter());
        assert_eq!(rest.len(), 1);
        rest.refuse(ProposeError::NoQuorum);
        assert_eq!(answers.wait(soon()).await, [UNKNOWN, NO_LEADER, Err(ProposeError::NoQuorum)]);
    }
}
