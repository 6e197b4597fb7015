//! Raising and clearing alarms at a tick: one of a kind at a time, with a dead band, so that none flickers.

use std::collections::BTreeMap;

use super::{
    Actor, AlarmId, AlarmKind, ControlConfig, Event, Happened, Phase, PolicyFault, State, TelemetryState,
    report_text::report_text, telemetry_state::EARLY_WARNING,
};
use crate::{
    flag::ServiceName,
    telemetry::{Rejection, Verdict},
};

/// Intervals without a rejected sample after which a source counts as sound again.
const SOUND_AFTER: u32 = 6;

/// Raises and clears alarms: one of a kind at a time.
pub(super) struct Alarms<'a> {
    next: u64,
    state: &'a State,
    /// What came of it, for the journal.
    pub(super) happened: Vec<Happened>,
}

impl<'a> Alarms<'a> {
    pub(super) const fn new(state: &'a State) -> Self {
        Self { next: state.alarm_count + 1, state, happened: Vec::new() }
    }

    pub(super) fn raise(&mut self, kind: AlarmKind, text: String) {
        // One that is over but was not seen begins again instead of standing beside a new one.
        let unseen = self.state.alarms.iter().find(|alarm| alarm.kind == kind);
        let id = unseen.map_or(AlarmId(self.next), |alarm| alarm.id);
        self.next += u64::from(unseen.is_none());
        self.happened.push((Actor::System, Event::AlarmRaised { id, kind, text }));
    }

    /// Makes the alarm of this kind stand, or be over.
    fn stand(&mut self, kind: AlarmKind, standing: bool, text: impl FnOnce() -> String) {
        match (self.state.alarm(&kind), standing) {
            (None, true) => self.raise(kind, text()),
            (Some(alarm), false) => {
                self.happened.push((Actor::System, Event::AlarmCleared { id: alarm.id }));
            }
            _ => {}
        }
    }

    pub(super) fn policy(&mut self, fault: Option<&PolicyFault>) {
        self.stand(AlarmKind::PolicyFault, fault.is_some(), || {
            let fault = fault.map(ToString::to_string).unwrap_or_default();
            format!("{fault}. The agent holds everywhere; the shield still rolls back.")
        });
    }

    /// What is wrong with the flag definitions, where something is. Another fault than the one that is known is news.
    pub(super) fn definitions(&mut self, fault: Option<&str>) {
        let kind = AlarmKind::Definitions;
        let text =
            fault.map(|why| format!("Flag definitions were not changed: {}.", why.trim_end_matches('.')));
        match (self.state.alarm(&kind), text) {
            (Some(alarm), Some(text)) if alarm.text != text => self.raise(kind, text),
            (_, text) => self.stand(kind, text.is_some(), || text.unwrap_or_default()),
        }
    }

    pub(super) fn telemetry(
        &mut self,
        telemetry_state: &mut TelemetryState,
        config: &ControlConfig,
        troubled: &BTreeMap<ServiceName, u32>,
    ) {
        let state = self.state;
        for flag in state.alive() {
            let TelemetryState { windows, by_flag, .. } = &mut *telemetry_state;
            let (window, flag_telemetry) = (&windows[flag.id.index()], &mut by_flag[flag.id.index()]);
            let key = &flag.spec.key;
            let lost = flag_telemetry.report.verdict == Verdict::Lost && !flag.rollout.is_zero();
            if lost || state.alarms.iter().any(|alarm| alarm.kind.flag() == Some(key)) {
                self.stand(AlarmKind::TelemetryLost(key.clone()), lost, || {
                    let age = flag_telemetry.report.age.map_or("ever".to_owned(), |age| age.to_string());
                    format!(
                        "No telemetry for {key} for {age}: it holds, and will be paused after {}.",
                        config.shield.lost_deadline
                    )
                });
            }
            let complete = flag.phase == Phase::Complete;
            let breaks = complete && window.breach(&config.shield.hard, false, EARLY_WARNING).is_some();
            // Also where it is complete no more: a breach ends with the rollback that answers it.
            if breaks || state.alarms.iter().any(|alarm| alarm.kind.flag() == Some(key)) {
                self.stand(AlarmKind::Breach(key.clone()), breaks, || {
                    format!(
                        "{key} at 100 % is worse than its baseline ({}).",
                        report_text(&flag_telemetry.report)
                    )
                });
            }
            let broken: u32 = Rejection::ALL
                .iter()
                .zip(window.rejected())
                .filter(|(why, _)| !matches!(why, Rejection::Late | Rejection::Duplicate))
                .map(|(_, count)| *count)
                .sum();
            if broken > flag_telemetry.rejected_before {
                flag_telemetry.rejected_before = broken;
                flag_telemetry.clean_intervals = 0;
                self.stand(AlarmKind::BadTelemetry(key.clone()), true, || {
                    format!("The telemetry source of {key} reports impossible values: {broken} samples rejected so far.")
                });
            } else if flag_telemetry.clean_intervals < SOUND_AFTER {
                flag_telemetry.clean_intervals += 1;
                if flag_telemetry.clean_intervals == SOUND_AFTER && broken > 0 {
                    self.stand(AlarmKind::BadTelemetry(key.clone()), false, String::new);
                }
            }
        }
        let standing: Vec<ServiceName> = state
            .alarms
            .iter()
            .filter_map(|alarm| match &alarm.kind {
                AlarmKind::Dependency(service) if alarm.cleared_at.is_none() => Some(service.clone()),
                _ => None,
            })
            .collect();
        for service in standing.iter().filter(|service| !troubled.contains_key(*service)) {
            self.stand(AlarmKind::Dependency(service.clone()), false, String::new);
        }
        for (service, flags) in troubled {
            self.stand(AlarmKind::Dependency(service.clone()), true, || {
                let plural = if *flags == 1 { "" } else { "s" };
                format!(
                    "{service} fails with the flag on and off: a dependency, not the flag ({flags} flag{plural} affected). Its raises are frozen."
                )
            });
        }
    }
}
