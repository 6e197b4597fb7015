//! The baseline: what a flag at 100 % is compared with, where no live control is left.
//!
//! It is control as it was, with the old fading away. A flag that never had a control makes one of its own first intervals.
//! The baseline decides what it learns from. It must not know what is concluded from it.

use crate::telemetry::{
    Sample,
    baseline_monitor::{Baseline, MIN_BASELINE},
    reference::Reference,
};

/// Intervals of treatment that make a baseline where there was no control: as many as a baseline remembers.
const OWN_INTERVALS: u32 = 33;

/// What is left of the weight of a baseline that treatment at 100 % has breached.
const AFTER_BREACH: f64 = 0.1;

/// Control as it was, or treatment as it was where there never was a control.
#[derive(Clone, Debug, Default)]
pub(super) struct LearnedBaseline {
    reference: Reference,
    /// Whether it was learned from treatment. It serves until there is a control again.
    is_own: bool,
    /// Intervals of treatment that it still learns from.
    own_left: u32,
}

impl LearnedBaseline {
    /// What it holds.
    pub(super) const fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Whether it was learned from treatment. A control that is unlike what treatment was is not bad for that.
    pub(super) const fn is_own(&self) -> bool {
        self.is_own
    }

    /// Its errors, as treatment at 100 % is compared with them.
    pub(super) fn record(&self) -> Baseline {
        Baseline {
            share: self.reference.error_share(),
            requests: self.reference.requests(),
            variance: self.reference.errors_variance(),
        }
    }

    /// A new ramp keeps the baseline, and an own one learns no more until the flag is at 100 % again.
    pub(super) const fn begin_ramp(&mut self) {
        self.own_left = 0;
    }

    /// Treatment at 100 % has breached it. The baseline may be wrong as well as the flag, so what a live control shows from
    /// now on counts for more.
    pub(super) fn distrust(&mut self) {
        self.reference.fade(AFTER_BREACH);
    }

    /// Takes in control of an interval with requests; `baseline_decay` is what is kept of the past. Not `usual` is
    /// control in a dependency outage: nothing is learned from that.
    pub(super) fn learn_control(&mut self, control: &Sample, usual: bool, baseline_decay: f64) {
        // An own baseline is dropped with the first control: a feature that is better than what it replaces must not make
        // its control look bad.
        if std::mem::take(&mut self.is_own) {
            self.reference = Reference::default();
        }
        if usual {
            self.reference.learn(control, baseline_decay);
        }
    }

    /// Takes in treatment of an interval. A flag that was at 100 % when this controller began to look, or was taken there at
    /// once, has no control. From its first intervals a baseline is made, which is better than none. What goes bad meanwhile
    /// becomes part of it, unless it is bad enough to be seen (then it is not `usual`).
    pub(super) fn learn_treatment(
        &mut self,
        is_full: bool,
        treatment: Option<&Sample>,
        usual: bool,
        baseline_decay: f64,
    ) {
        if !is_full {
            self.own_left = 0;
            return;
        }
        if self.reference.requests() < MIN_BASELINE {
            self.own_left = if self.is_own { self.own_left.max(1) } else { OWN_INTERVALS };
            self.is_own = true;
        }
        let learned = treatment.filter(|treatment| usual && treatment.requests > 0 && self.own_left > 0);
        if let Some(treatment) = learned {
            self.own_left -= 1;
            self.reference.learn(treatment, baseline_decay);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        flag::FlagId,
        telemetry::{Arm, Histogram, Millis},
    };

    const MEMORY: f64 = 0.97;

    fn sample(arm: Arm, requests: u32, errors: u32) -> Sample {
        Sample {
            flag: FlagId(0),
            arm,
            start: Millis::ZERO,
            span: Millis::from_secs(10),
            requests,
            errors,
            latency: Histogram::default(),
            assumed: false,
        }
    }

    fn control(errors: u32) -> Sample {
        sample(Arm::Control, 1_000, errors)
    }

    fn treatment(errors: u32) -> Sample {
        sample(Arm::Treatment, 1_000, errors)
    }

    #[test]
    fn it_is_control_while_there_is_one() {
        let mut baseline = LearnedBaseline::default();
        (0..20).for_each(|_| baseline.learn_control(&control(10), true, MEMORY));
        let before = baseline.clone();
        baseline.learn_treatment(false, Some(&treatment(900)), true, MEMORY);
        baseline.learn_treatment(true, Some(&treatment(900)), true, MEMORY);
        assert_eq!(baseline.reference(), before.reference(), "treatment is not learned beside a control's");
        assert!(!baseline.is_own());
    }

    #[test]
    fn nothing_is_learned_from_a_control_in_an_outage() {
        let mut baseline = LearnedBaseline::default();
        baseline.learn_control(&control(10), true, MEMORY);
        let before = baseline.clone();
        baseline.learn_control(&control(900), false, MEMORY);
        assert_eq!(baseline.reference(), before.reference());
    }

    #[test]
    fn a_flag_without_control_becomes_its_own_baseline_and_stops_there() {
        let mut baseline = LearnedBaseline::default();
        for _ in 0..OWN_INTERVALS {
            baseline.learn_treatment(true, Some(&treatment(20)), true, MEMORY);
        }
        assert!(baseline.is_own());
        let made = baseline.clone();
        baseline.learn_treatment(true, Some(&treatment(900)), true, MEMORY);
        assert_eq!(baseline.reference(), made.reference(), "later intervals are compared and not learned");
    }

    #[test]
    fn what_is_unusual_is_not_made_the_baseline() {
        let mut baseline = LearnedBaseline::default();
        baseline.learn_treatment(true, Some(&treatment(900)), false, MEMORY);
        baseline.learn_treatment(true, None, true, MEMORY);
        assert!(baseline.reference().requests() < 1.0);
    }

    #[test]
    fn an_own_baseline_ends_with_the_first_control() {
        let mut baseline = LearnedBaseline::default();
        (0..5).for_each(|_| baseline.learn_treatment(true, Some(&treatment(0)), true, MEMORY));
        baseline.learn_control(&control(100), true, MEMORY);
        assert!(!baseline.is_own());
        assert!((baseline.reference().requests() - 1_000.0).abs() < 1e-9, "control's alone");
        assert!((baseline.reference().errors() - 100.0).abs() < 1e-9);
    }

    #[test]
    fn a_breach_leaves_it_a_tenth_of_its_weight() {
        let mut baseline = LearnedBaseline::default();
        (0..20).for_each(|_| baseline.learn_control(&control(10), true, MEMORY));
        let (weight, share) = (baseline.reference().requests(), baseline.record().share);
        baseline.distrust();
        assert!((baseline.reference().requests() - AFTER_BREACH * weight).abs() < 1e-6);
        assert!((baseline.record().share - share).abs() < 1e-3, "its shares stay");
    }
}
