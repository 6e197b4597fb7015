//! The steps of the clock's pace, as `+` and `-` go through them.

use knightwatch_engine::backend::Pace;

/// Times faster than real time.
const STEPS: [u32; 9] = [1, 2, 5, 10, 30, 60, 120, 300, 600];

fn times(pace: Pace) -> u32 {
    match pace {
        Pace::Stopped => 0,
        Pace::Real => 1,
        Pace::Times(times) => times,
    }
}

/// The next step up; `None` at the fastest.
pub(super) fn faster(pace: Pace) -> Option<Pace> {
    STEPS.into_iter().find(|step| *step > times(pace)).map(Pace::Times)
}

/// The next step down, below 1 the clock stands; `None` when it stands already.
pub(super) fn slower(pace: Pace) -> Option<Pace> {
    if pace == Pace::Stopped {
        return None;
    }
    Some(STEPS.into_iter().rev().find(|step| *step < times(pace)).map_or(Pace::Stopped, Pace::Times))
}

/// As the header shows it.
pub(super) fn name(pace: Pace) -> String {
    match pace {
        Pace::Real | Pace::Times(1) => "1×".to_owned(),
        Pace::Times(times) => format!("{times}×"),
        Pace::Stopped => "STOPPED".to_owned(),
    }
}
