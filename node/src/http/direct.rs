//! Answers a plain request of a connection's fast lane (see `server::lane`): what `observe`, the router and a handler
//! of [`checkout`](super::checkout) do for a call, in one function.

use axum::http::{Method, StatusCode};
use storage::inventory::command;

use super::limits::CALL_TIME_MAX;
use super::problem::Problem;
use super::reply::{Fate, Written};
use super::server::{Alarm, Plain};
use super::{Api, Store, commands, guard, parse, reply};
use crate::auth::Grant;
use crate::clock::Stopwatch;
use crate::metrics::Route;
use crate::trace::{self, Trace};

impl<S: Store> Api<S> {
    /// Writes the answer. It tells, and `true` says, that the connection ends with it where the process is stopping by
    /// the time that the answer is known.
    pub(super) async fn answer(
        &self,
        request: Plain<'_>,
        alarm: &mut Alarm,
        into: &mut Written,
        stopping: impl Fn() -> bool,
    ) -> bool {
        let watch = Stopwatch::start();
        let route = Route::of(&Method::POST, Some(request.call.path()));
        let trace = self.tracer.begin(request.traceparent);
        let entered = self.enter();
        let fate = match (guard::admit_checkout(&self.access, request.authorization), &entered) {
            (Ok(grant), Some(_)) => self.fate(&grant, request, alarm, trace.as_ref()).await,
            (Ok(_), None) => Err(reply::overloaded()),
            (Err(problem), _) => Err(problem),
        };
        let ends = stopping();
        let context = trace.as_ref().map(Trace::context);
        let status: StatusCode = into.answer(fate, ends, context);
        if let Some(trace) = &trace {
            self.tracer.end(trace, route.names(), status.as_u16());
        }
        self.metrics.answered(route, status, watch.elapsed());
        ends
    }

    /// What becomes of the call.
    async fn fate(
        &self,
        grant: &Grant,
        request: Plain<'_>,
        alarm: &mut Alarm,
        trace: Option<&Trace>,
    ) -> Fate {
        let request = self.request(request)?;
        self.covers(grant, &request.command).await?;
        let units_field = commands::units_field(&request.command);
        let is_reserve = super::is_reserve(&request);
        let submitted = trace::submitting(trace, self.store.submit(request, grant.token_id()));
        let answer = alarm.bound(CALL_TIME_MAX, submitted).await;
        let answer = answer.unwrap_or(Err(raft::ProposeError::OutcomeUnknown));
        if is_reserve {
            self.metrics.reserves.count(&answer);
        }
        self.conceal(grant, Ok((answer, units_field))).await
    }

    fn request(&self, request: Plain<'_>) -> Result<command::Request, Problem> {
        let key = request.idempotency_key.map(|key| parse::key("Idempotency-Key", key));
        let idempotency_key = key.transpose()?;
        let command = request.call.command(request.body, self.ttl_seconds_max)?;
        Ok(command::Request { idempotency_key, command })
    }
}
