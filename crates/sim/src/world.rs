//! The world: a scenario running under a seed, one control interval at a time.
//!
//! It takes the flags' rollouts and gives what telemetry would have seen, beside the latent truth. Same scenario, same
//! seed, same rollouts: same bytes on any machine. It must not know who decides on the rollouts or why.
//!
//! Two simplifications. A flag's requests are drawn apart from those of other flags of its service, though in truth
//! they are the same users. And arrivals are Poisson, so that the counts of histogram buckets are independent: one
//! draw each.

use super::{
    effect::{self, Circumstance, Potential},
    noise::{Purpose, Stream, binomial, poisson},
    scenario::{FlagModel, Outage, Scenario},
    service::{Condition, Moment, Service, ln_factor, millis},
    shape::{Part, Shape, Survival},
    truth::Truth,
    wire::{UnderWay, Wire},
};
use knightwatch_core::{
    Source,
    flag::{FlagId, Rollout},
    telemetry::{Arm, BUCKET_COUNT, Feed, Histogram, Millis, Sample},
};

/// Warm-up is over after so many of its time constants: less than a thousandth of it is left.
const WARM_AFTER: f64 = 7.0;

/// A running world.
#[derive(Clone, Debug)]
pub struct World {
    start: Millis,
    interval: Millis,
    duration: Millis,
    steps: u64,
    step: u64,
    cost_per_bad_request: f64,
    services: Vec<Service>,
    conditions: Vec<Condition>,
    outages: Vec<Outage>,
    flags: Vec<Flag>,
    truths: Vec<Truth>,
    under_way: Vec<UnderWay>,
    /// Scratch space, so that a step allocates nothing.
    parts: Vec<Part>,
}

/// A flag as it runs.
#[derive(Clone, Debug)]
struct Flag {
    id: FlagId,
    model: FlagModel,
    stream: Stream,
    typical_requests: f64,
    /// What each effect would come to at 100 %.
    potentials: Vec<Potential>,
    rollout: Rollout,
    raised_at: u64,
    /// Treatment requests since the flag left 0 %: a rollback restarts the processes.
    exposure: f64,
    wire: Wire,
    is_wire_clean: bool,
}

/// One arm in one interval, as telemetry would see it before anything is drawn.
struct ArmTruth {
    requests: f64,
    errors: f64,
    survival: Survival,
}

impl World {
    /// A world at the scenario's start. A flag whose service the scenario does not have is left without traffic (a
    /// parsed scenario has no such flag).
    #[must_use]
    pub fn new(scenario: &Scenario, seed: u64) -> Self {
        let interval = Millis(scenario.interval.0.max(1));
        let services: Vec<_> =
            scenario.services.iter().map(|model| Service::new(model, seed, interval)).collect();
        let flags: Vec<_> = (0_u32..)
            .zip(&scenario.flags)
            .map(|(id, model)| Flag::new(FlagId(id), model, services.get(model.service), seed, interval))
            .collect();
        Self {
            start: scenario.start,
            interval,
            duration: scenario.duration,
            steps: scenario.duration.0.div_ceil(interval.0),
            step: 0,
            cost_per_bad_request: scenario.cost_per_bad_request,
            conditions: vec![Condition::default(); services.len()],
            services,
            outages: scenario.outages.clone(),
            truths: flags
                .iter()
                .map(|flag| Truth { typical_requests: flag.typical_requests, ..Truth::default() })
                .collect(),
            flags,
            under_way: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// The time up to which the world has run: the end of the last interval, since the Unix epoch.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.start + Millis(self.step * self.interval.0)
    }

    /// Whether the scenario's duration is over. The world can be stepped beyond it.
    #[must_use]
    pub fn done(&self) -> bool {
        self.step >= self.steps
    }

    /// The truth of the last interval; all zero for a flag that the scenario does not have.
    #[must_use]
    pub fn truth(&self, flag: FlagId) -> &Truth {
        static NOTHING: Truth = Truth {
            rollout: Rollout::ZERO,
            requests: 0.0,
            typical_requests: 0.0,
            error_rate_treatment: 0.0,
            error_rate_control: 0.0,
            p99_treatment_ms: 0.0,
            p99_control_ms: 0.0,
            ln_warm_up: 0.0,
            bad_requests: 0.0,
            total_bad_requests: 0.0,
            cost: 0.0,
            total_cost: 0.0,
            cost_at_full: 0.0,
            harmful: false,
        };
        self.truths.get(flag.index()).unwrap_or(&NOTHING)
    }

    /// The truths of all flags, by [`FlagId`].
    #[must_use]
    pub fn truths(&self) -> &[Truth] {
        &self.truths
    }

    /// Runs one control interval with these rollouts (by [`FlagId`]; a missing one is 0 %) and fills `feed` with what
    /// arrives in it: for each flag the control sample, unless it is at 100 %, and the treatment sample, unless it is at
    /// 0 %. An arm that nobody happened to ask in sends a sample of 0 requests. Late samples of earlier intervals
    /// come last.
    pub fn step(&mut self, rollouts: &[Rollout], feed: &mut Feed) {
        feed.clear();
        let middle = Millis(self.step * self.interval.0 + self.interval.0 / 2);
        let at = Moment { step: self.step, middle, start: self.start, interval: self.interval };
        for (index, (service, condition)) in self.services.iter_mut().zip(&mut self.conditions).enumerate() {
            let outages = self.outages.iter().filter(|outage| outage.services.contains(&index));
            *condition = service.step(at, outages);
        }
        let begun = self.now();
        let end = self.duration;
        for (flag, truth) in self.flags.iter_mut().zip(&mut self.truths) {
            let service = flag.model.service;
            let (Some(condition), Some(service)) = (self.conditions.get(service), self.services.get(service))
            else {
                continue;
            };
            let rollout = rollouts.get(flag.id.index()).copied().unwrap_or_default();
            flag.turn(rollout, at.step);
            let now = Circumstance { share: rollout.share(), middle, exposure: flag.exposure, rollouts };
            let arms = flag.truth(now, at, condition, &service.shape, &mut self.parts, truth);
            flag.judge(now, end, &service.shape, self.cost_per_bad_request, truth);
            flag.exposure += truth.requests * now.share;
            let [control, treatment] = arms;
            let samples = [
                control.map(|arm| flag.sample(Arm::Control, &arm, at.step, begun, self.interval)),
                treatment.map(|arm| flag.sample(Arm::Treatment, &arm, at.step, begun, self.interval)),
            ];
            if flag.is_wire_clean {
                feed.samples.extend(samples.into_iter().flatten());
            } else {
                flag.wire.send(&flag.model.wire, flag.stream, at, &samples, feed, &mut self.under_way);
            }
        }
        feed.samples
            .extend(self.under_way.extract_if(.., |(due, _)| *due <= at.step).map(|(_, sample)| sample));
        self.step += 1;
    }
}

impl Flag {
    fn new(id: FlagId, model: &FlagModel, service: Option<&Service>, seed: u64, interval: Millis) -> Self {
        let potentials = model
            .effects
            .iter()
            .map(|effect| {
                service.map(|service| effect::potential(effect, &service.shape, 1.0)).unwrap_or_default()
            })
            .collect();
        Self {
            id,
            stream: Stream::new(seed, model.spec.key.as_str()),
            typical_requests: model.traffic
                * service.map_or(0.0, |service| service.typical_requests(interval)),
            potentials,
            rollout: Rollout::ZERO,
            raised_at: 0,
            exposure: 0.0,
            wire: Wire::default(),
            is_wire_clean: model.wire.is_clean(),
            model: model.clone(),
        }
    }

    /// Takes note of the rollout of an interval.
    fn turn(&mut self, rollout: Rollout, step: u64) {
        if rollout > self.rollout {
            self.raised_at = step;
        }
        if rollout.is_zero() {
            self.exposure = 0.0;
        }
        self.rollout = rollout;
    }

    /// What is so in one interval: fills most of `truth`, and returns the arms that have traffic, control first.
    fn truth(
        &self,
        now: Circumstance<'_>,
        at: Moment,
        condition: &Condition,
        shape: &Shape,
        parts: &mut Vec<Part>,
        truth: &mut Truth,
    ) -> [Option<ArmTruth>; 2] {
        let requests = self.typical_requests * condition.traffic;
        let ln_control = condition.ln_latency + ln_factor(self.model.slowness);
        let alone = [Part { share: 1.0, ln_factor: ln_control }];
        truth.rollout = self.rollout;
        truth.requests = requests;
        truth.error_rate_control = condition.errors;
        truth.p99_control_ms = shape.p99_ms(&alone);
        truth.ln_warm_up = 0.0;
        let control = (!self.rollout.is_full()).then(|| ArmTruth {
            requests: requests * (1.0 - now.share),
            errors: condition.errors,
            survival: shape.survival(&alone),
        });
        if self.rollout.is_zero() {
            truth.error_rate_treatment = truth.error_rate_control;
            truth.p99_treatment_ms = truth.p99_control_ms;
            return [control, None];
        }
        parts.clear();
        truth.ln_warm_up = self.warming(at);
        let added = effect::apply(&self.model.effects, now, ln_control + truth.ln_warm_up, parts);
        let errors = 1.0 - (1.0 - condition.errors) * (1.0 - added);
        truth.error_rate_treatment = errors;
        truth.p99_treatment_ms = shape.p99_ms(parts);
        let wire = &self.model.wire;
        // Of the failed requests a share is lost, and of all requests another.
        let seen = 1.0 - wire.lost_failures * errors;
        let treatment = ArmTruth {
            requests: requests * now.share * (1.0 - wire.lost_treatment) * seen,
            errors: if seen > 0.0 { errors * (1.0 - wire.lost_failures) / seen } else { 0.0 },
            survival: shape.survival(parts),
        };
        [control, Some(treatment)]
    }

    /// Natural logarithm of the warm-up after the last raise: `1 + a exp(-dt / tau)`.
    fn warming(&self, at: Moment) -> f64 {
        let tau = millis(self.model.warm_up_time);
        let age = millis(Millis((at.step - self.raised_at) * at.interval.0 + at.interval.0 / 2));
        if self.model.warm_up == 0.0 || age > WARM_AFTER * tau {
            return 0.0;
        }
        libm::log1p(self.model.warm_up * libm::exp(-age / tau))
    }

    /// Fills in what `truth` says of harm and cost.
    fn judge(&self, now: Circumstance<'_>, end: Millis, shape: &Shape, price: f64, truth: &mut Truth) {
        let excess = (truth.error_rate_treatment - truth.error_rate_control).max(0.0);
        truth.bad_requests = truth.requests * now.share * excess;
        truth.total_bad_requests += truth.bad_requests;
        truth.cost = truth.bad_requests * price;
        truth.total_cost += truth.cost;
        truth.harmful = false;
        let mut working = 1.0;
        for (effect, potential) in self.model.effects.iter().zip(&self.potentials) {
            if !effect::still_to_come(effect, now.middle, end) {
                continue;
            }
            // With a partner the harm depends on where that one is now.
            let potential = effect.with.map_or(*potential, |partner| {
                let other = now.rollouts.get(partner.index()).copied().unwrap_or_default().share();
                effect::potential(effect, shape, other)
            });
            truth.harmful |= potential.harmful;
            working *= 1.0 - potential.errors;
        }
        truth.cost_at_full = truth.requests * (1.0 - working) * (1.0 - truth.error_rate_control) * price;
    }

    /// Draws what telemetry counts in one arm.
    fn sample(&self, arm: Arm, truth: &ArmTruth, step: u64, start: Millis, span: Millis) -> Sample {
        let mut draws =
            self.stream.at(if arm == Arm::Control { Purpose::Control } else { Purpose::Treatment }, step);
        // The first draw, so that errors do not depend on how many buckets there are.
        let failing = draws.uniform();
        let mut counts = [0; BUCKET_COUNT];
        let mut requests = 0_u32;
        for (bucket, count) in counts.iter_mut().enumerate() {
            let slower = truth.survival.get(bucket + 1).copied().unwrap_or(0.0);
            // Every bucket takes its draw, so that a shift of the distribution does not shift the noise.
            let u = draws.uniform();
            *count = poisson(truth.requests * (truth.survival[bucket] - slower).max(0.0), u);
            requests = requests.saturating_add(*count);
        }
        let errors = binomial(requests, truth.errors, failing);
        Sample {
            flag: self.id,
            arm,
            start,
            span,
            requests,
            errors,
            latency: Histogram::from_counts(counts),
            assumed: false,
        }
    }
}

impl Source for World {
    fn now(&self) -> Millis {
        self.now()
    }

    fn done(&self) -> bool {
        self.done()
    }

    fn step(&mut self, rollouts: &[Rollout], feed: &mut Feed) {
        self.step(rollouts, feed);
    }
}
