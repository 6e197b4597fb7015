//! A policy on a thread of its own, with a deadline: one that panics, stalls or dies means hold, not a stopped loop.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

use knightwatch_core::{
    control::{ActionMask, Observation, Phase, Policy, PolicyFault, PolicySettings, Proposal},
    flag::{FlagId, Ladder, Rollout},
    telemetry::{ArmStats, Counts, Millis, WindowReport},
};

/// The name of the thread. A panic there is caught; the terminal must not be touched by its report.
pub(crate) const THREAD: &str = "policy";

/// An observation that may cross threads.
struct Owned {
    flag: FlagId,
    ramp: u32,
    now: Millis,
    interval: Millis,
    phase: Phase,
    rollout: Rollout,
    ladder: Ladder,
    since_change: Millis,
    report: WindowReport,
    latest: [Option<ArmStats>; 2],
    slower: Option<Counts>,
    moving_in_service: u32,
    mask: ActionMask,
}

impl From<&Observation<'_>> for Owned {
    fn from(seen: &Observation<'_>) -> Self {
        let Observation { flag, ramp, now, interval, phase, rollout, since_change, .. } = *seen;
        Self {
            flag,
            ramp,
            now,
            interval,
            phase,
            rollout,
            ladder: seen.ladder.clone(),
            since_change,
            report: seen.report.clone(),
            latest: *seen.latest,
            slower: seen.slower,
            moving_in_service: seen.moving_in_service,
            mask: seen.mask,
        }
    }
}

impl Owned {
    fn borrow(&self) -> Observation<'_> {
        let Self { flag, ramp, now, interval, phase, rollout, since_change, moving_in_service, mask, .. } =
            *self;
        Observation {
            flag,
            ramp,
            now,
            interval,
            phase,
            rollout,
            ladder: &self.ladder,
            since_change,
            report: &self.report,
            latest: &self.latest,
            slower: self.slower,
            moving_in_service,
            mask,
        }
    }
}

type PolicyResult = Result<Vec<Proposal>, PolicyFault>;

/// A policy behind a deadline. While it has not answered an earlier question it is asked no further one.
pub struct Guarded {
    name: String,
    settings: Option<PolicySettings>,
    deadline: Duration,
    questions: Sender<Vec<Owned>>,
    answers: Receiver<PolicyResult>,
    /// Whether an answer to a question whose deadline has passed is still outstanding.
    overdue: bool,
}

impl Guarded {
    /// Puts `policy` on a thread of its own.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn new(mut policy: Box<dyn Policy>, deadline: Duration) -> std::io::Result<Self> {
        let (name, settings) = (policy.name().to_owned(), policy.settings());
        let (questions, asked) = mpsc::channel::<Vec<Owned>>();
        let (answer, answers) = mpsc::channel();
        thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
            while let Ok(question) = asked.recv() {
                let observations: Vec<Observation<'_>> = question.iter().map(Owned::borrow).collect();
                let mut proposals = Vec::with_capacity(observations.len());
                let result = catch_unwind(AssertUnwindSafe(|| policy.propose(&observations, &mut proposals)));
                let result = match result {
                    Ok(result) => result.map(|()| proposals),
                    Err(panic) => Err(PolicyFault::panicked(panic.as_ref())),
                };
                if answer.send(result).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { name, settings, deadline, questions, answers, overdue: false })
    }

    fn stalled(&self) -> PolicyFault {
        PolicyFault::Stalled(Millis(u64::try_from(self.deadline.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Policy for Guarded {
    fn name(&self) -> &str {
        &self.name
    }

    fn settings(&self) -> Option<PolicySettings> {
        self.settings.clone()
    }

    fn propose(
        &mut self,
        observations: &[Observation<'_>],
        proposals: &mut Vec<Proposal>,
    ) -> Result<(), PolicyFault> {
        let dead = || PolicyFault::Panicked("its thread has ended".to_owned());
        if self.overdue {
            match self.answers.try_recv() {
                // Whatever it says now is about a past that is over.
                Ok(_) => self.overdue = false,
                Err(mpsc::TryRecvError::Empty) => return Err(self.stalled()),
                Err(mpsc::TryRecvError::Disconnected) => return Err(dead()),
            }
        }
        self.questions.send(observations.iter().map(Owned::from).collect()).map_err(|_| dead())?;
        match self.answers.recv_timeout(self.deadline) {
            Ok(answer) => {
                proposals.extend(answer?);
                Ok(())
            }
            Err(RecvTimeoutError::Timeout) => {
                self.overdue = true;
                Err(self.stalled())
            }
            Err(RecvTimeoutError::Disconnected) => Err(dead()),
        }
    }
}
