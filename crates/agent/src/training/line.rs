//! A training in plain lines: for a trainer without a terminal, for pipes and for logs.

use std::fmt::Write as _;

use super::{METRICS, TrainingPoint, compact, count, span};

/// What a metric without a value is written as.
const NONE: &str = "–";

/// Names of the metrics in a line; the others are in the log.
const SAID: [&str; 6] = ["reward", "entropy", "KL", "clipped", "explained variance", "speed"];

/// A point as one line for people: no escape codes, every value with its name and unit.
#[must_use]
pub fn training_line(point: &TrainingPoint) -> String {
    let mut line =
        format!("{}  iteration {}  {} steps", span(point.seconds), point.iteration, count(point.steps));
    // Writing to a String cannot fail.
    for metric in METRICS.iter().filter(|metric| SAID.contains(&metric.name)) {
        let value = (metric.value)(point).map_or_else(|| NONE.to_owned(), compact);
        let _ = match metric.name {
            name if metric.unit.is_empty() => write!(line, "  {name} {value}"),
            name => write!(line, "  {name} {value} {}", metric.unit),
        };
    }
    let Some(validation) = &point.validation else { return line };
    let _ = write!(line, "  validation: cost {}", compact(validation.cost));
    let _ = write!(line, ", harm {}", compact(validation.harm));
    if let Some(opponent) = validation.best_opponent_harm {
        let _ = write!(line, " (least of an opponent {})", compact(opponent));
    }
    if let Some(minutes) = validation.minutes_to_full {
        let _ = write!(line, ", {} min to 100 %", compact(minutes));
    }
    if let Some(percent) = validation.false_rollbacks_percent {
        let _ = write!(line, ", {} % false rollbacks", compact(percent));
    }
    if validation.best {
        line.push_str(", the least cost so far: kept");
    }
    line
}

/// Which points get a line: every validation, and one in each so many seconds of the training.
#[derive(Clone, Copy, Debug)]
pub struct LinePace {
    every: f64,
    next: f64,
}

impl LinePace {
    /// One line every so many seconds; 0 means every point.
    #[must_use]
    pub const fn every(seconds: f64) -> Self {
        Self { every: seconds, next: 0.0 }
    }

    /// The line of a point, where it gets one.
    pub fn line(&mut self, point: &TrainingPoint) -> Option<String> {
        let due = point.seconds >= self.next;
        if due {
            self.next = point.seconds + self.every;
        }
        (due || point.validation.is_some()).then(|| training_line(point))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::Validation;

    fn point(iteration: u64) -> TrainingPoint {
        TrainingPoint {
            iteration,
            steps: iteration * 8_192,
            seconds: super::super::as_f64(iteration),
            reward: Some(-12.345),
            entropy: Some(1.9),
            clip_fraction: Some(0.082),
            steps_per_second: Some(51_234.0),
            ..TrainingPoint::default()
        }
    }

    #[test]
    fn a_line_names_every_value_and_its_unit() {
        assert_eq!(
            training_line(&point(100)),
            "1:40 min  iteration 100  819 k steps  reward -12.3 an episode  entropy 1.9 nats  KL – nats  clipped 8.2 %  explained variance – %  speed 51.2 k steps/s"
        );
        let mut validated = point(100);
        validated.validation = Some(Validation {
            harm: 3.1,
            cost: 4.2,
            minutes_to_full: Some(21.5),
            false_rollbacks_percent: Some(0.8),
            best_opponent_harm: Some(4.1),
            best: true,
        });
        assert!(training_line(&validated).ends_with(
            "  validation: cost 4.2, harm 3.1 (least of an opponent 4.1), 21.5 min to 100 %, 0.8 % false rollbacks, the least cost so far: kept"
        ));
    }

    #[test]
    fn a_validation_is_always_said_and_the_rest_now_and_then() {
        let mut pace = LinePace::every(10.0);
        let said: Vec<u64> = (1..=30)
            .filter(|iteration| {
                let mut point = point(*iteration);
                if *iteration == 15 {
                    point.validation = Some(Validation {
                        harm: 1.0,
                        cost: 1.0,
                        minutes_to_full: None,
                        false_rollbacks_percent: None,
                        best_opponent_harm: None,
                        best: false,
                    });
                }
                pace.line(&point).is_some()
            })
            .collect();
        assert_eq!(said, [1, 11, 15, 21]);
    }
}
