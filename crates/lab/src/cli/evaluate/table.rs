//! The league as text, at most 100 columns wide: what the policies did, what it came to, and, where asked, part by part.

use std::path::Path;

use super::{
    super::{Failure, print},
    Field, Results,
    entrant::{KNOWING, TUNED, is_ours},
};
use crate::judge::{Estimate, Share, Standing};
use knightwatch_agent::PolicyName;
use knightwatch_sim::Shift;

/// Of fewer episodes no interval is shown: a resample of few episodes knows nothing of what is not among them.
const FEWEST: u64 = 20;

/// Two lines above each column: what, and in which unit. A width below 0 stands left.
type Columns<'a> = &'a [(i8, &'a str, &'a str)];

/// What the results are of.
pub(super) struct About<'a> {
    pub(super) field: &'a Field,
    pub(super) shift: Shift,
    /// Whom the others are compared with.
    pub(super) against: &'a str,
    /// What PPO-Master decides by.
    pub(super) agent: &'a str,
    /// The file that the weights of the cost come from, where it is not the shipped one.
    pub(super) weights: Option<&'a Path>,
}

/// Writes everything.
pub(super) fn write(whole: &Results, parts: &[Results], about: &About<'_>) -> Result<(), Failure> {
    print::line(&about.field.about())?;
    if about.shift != Shift::AsDrawn {
        print::line(&format!("shifted: {}", about.shift))?;
    }
    print::line("the same for every policy; every policy behind the same shield")?;
    let ours = PolicyName::PPO_MASTER.as_str();
    if whole.standings.iter().any(|standing| standing.policy == ours) {
        print::line(&format!("{ours}: weights {}", about.agent))?;
    }
    print::line("")?;
    outcomes(&whole.standings)?;
    print::line("")?;
    harms(&whole.standings)?;
    print::line("")?;
    manners(whole)?;
    print::line("")?;
    paces(whole)?;
    print::line("")?;
    costs(whole, about.against)?;
    if !parts.is_empty() {
        print::line("")?;
        each(parts)?;
    }
    let weights =
        about.weights.map_or_else(|| "config/judge.toml".to_owned(), |file| file.display().to_string());
    print::line("")?;
    if whole.standings.iter().any(|standing| standing.episodes >= FEWEST) {
        print::line(
            "[ ] holds the truth 95 times in 100: paired bootstrap over the episodes; of shares of none",
        )?;
        print::line("or all of the flags, Wilson's interval.")?;
    }
    print::line(
        "Minutes to 100 % are a mean over the good flags that got there, those from harm to rollback over",
    )?;
    print::line("the bad flags that were rolled back; min to rollback is a median.")?;
    print::line(
        "Others to the end: a good flag that did not get there counts with all its time (restricted mean).",
    )?;
    if whole.standings.iter().any(|standing| is_ours(&standing.policy)) {
        print::line(
            "Best opponent no slower: of those with no more such minutes than PPO-Master the one with the fewest",
        )?;
        print::line(
            "bad requests, found on these worlds, which the interval does not know. Below 1 is fewer than its.",
        )?;
    }
    if whole.closed.iter().all(Option::is_none) {
        print::line("Gap closed: of the costs of schedule and oracle; where both take part (--oracle).")?;
    }
    print::line(
        "Missed: on to the end, not handed to a person for want of telemetry, nor made harmless by another",
    )?;
    print::line("flag's rollback. Bad requests, like the cost, count until a person was called.")?;
    print::line(
        "Detectable: an expected z-score of 5 or more in ten minutes at half of the flag's traffic.",
    )?;
    if whole.standings.iter().any(|standing| standing.policy.ends_with(TUNED)) {
        print::line(
            "* with the settings that tuning found, config/opponents.toml; without, as the product has it.",
        )?;
    }
    if whole.standings.iter().any(|standing| standing.policy.ends_with(KNOWING)) {
        print::line(
            "^ with hindsight: at its pace, but has a flag rolled back after the first interval below 100 % with",
        )?;
        print::line(
            "harm, and for nothing else: a limit. At 100 % the shield alone acts, as with every policy.",
        )?;
    }
    print::line(&format!("1 point = one control interval of one flag at 0 %; weights: {weights}."))
}

fn outcomes(standings: &[Standing]) -> Result<(), Failure> {
    let columns: Columns = &[
        (-15, "policy", ""),
        (12, "bad requests", "per bad flag"),
        (18, "missed", "% of bad flags"),
        (18, "false rollbacks", "% of good flags"),
        (8, "good to", "100 %"),
        (18, "minutes", "to 100 %"),
        (9, "min to", "rollback"),
    ];
    head(columns)?;
    for standing in standings {
        row(
            columns,
            &[
                standing.policy.clone(),
                number(standing.bad_requests_per_bad_flag),
                share(standing.missed_percent, standing.intervals.missed_percent, standing.episodes),
                share(
                    standing.false_rollbacks_percent,
                    standing.intervals.false_rollbacks_percent,
                    standing.episodes,
                ),
                percent(standing.completed_percent, standing.good_flags),
                between(
                    standing.mean_minutes_to_full,
                    standing.intervals.mean_minutes_to_full,
                    standing.episodes,
                ),
                minutes(standing.minutes_to_rollback),
            ],
        )?;
    }
    Ok(())
}

fn harms(standings: &[Standing]) -> Result<(), Failure> {
    let columns: Columns = &[
        (-15, "policy", ""),
        (23, "bad requests", "per bad flag"),
        (25, "bad requests", "worst 5 % of bad flags"),
        (18, "min from harm", "to rollback"),
        (18, "missed, % of", "the detectable"),
    ];
    head(columns)?;
    for standing in standings {
        let (episodes, ends) = (standing.episodes, &standing.intervals);
        let requests = |mean, ends| between((standing.bad_flags > 0).then_some(mean), ends, episodes);
        row(
            columns,
            &[
                standing.policy.clone(),
                requests(standing.bad_requests_per_bad_flag, ends.bad_requests_per_bad_flag),
                requests(standing.bad_requests_cvar95, ends.bad_requests_cvar95),
                between(standing.minutes_to_detect, ends.minutes_to_detect, episodes),
                share(standing.missed_detectable_percent, ends.missed_detectable_percent, episodes),
            ],
        )?;
    }
    Ok(())
}

fn manners(whole: &Results) -> Result<(), Failure> {
    let columns: Columns = &[
        (-15, "policy", ""),
        (22, "gap closed, %", "schedule to oracle"),
        (22, "vetoes", "per 1000 decisions"),
        (22, "changes of", "direction, a flag"),
        (18, "missed at 100 %,", "% of detectable"),
    ];
    head(columns)?;
    for (standing, closed) in whole.standings.iter().zip(&whole.closed) {
        let (episodes, ends) = (standing.episodes, &standing.intervals);
        let percent = |share: f64| 100.0 * share;
        let closed = closed.map(|Estimate { mean, low, high }| Estimate {
            mean: percent(mean),
            low: percent(low),
            high: percent(high),
        });
        row(
            columns,
            &[
                standing.policy.clone(),
                closed.map_or("-".to_owned(), |closed| estimate(&closed, episodes)),
                share(standing.vetoes_per_thousand, ends.vetoes_per_thousand, episodes),
                ends.flips_per_flag.map_or("-".to_owned(), |[low, high]| {
                    hundredths(&Estimate { mean: standing.flips_per_flag, low, high }, episodes)
                }),
                share(standing.passed_detectable_percent, ends.passed_detectable_percent, episodes),
            ],
        )?;
    }
    Ok(())
}

fn paces(whole: &Results) -> Result<(), Failure> {
    let columns: Columns = &[
        (-15, "policy", ""),
        (20, "minutes to 100 %,", "others to the end"),
        (18, "best opponent", "no slower"),
        (22, "bad requests,", "a part of its"),
        (24, "of worst 5 % of flags,", "a part of its"),
    ];
    head(columns)?;
    for (standing, share) in whole.standings.iter().zip(&whole.shares) {
        let episodes = standing.episodes;
        let part = |of: fn(&Share) -> Estimate| {
            share.as_ref().map_or("-".to_owned(), |share| hundredths(&of(share), episodes))
        };
        row(
            columns,
            &[
                standing.policy.clone(),
                between(
                    standing.restricted_minutes_to_full,
                    standing.intervals.restricted_minutes_to_full,
                    episodes,
                ),
                share.as_ref().map_or("-".to_owned(), |share| share.policy.clone()),
                part(|share| share.bad_requests),
                part(|share| share.bad_requests_cvar95),
            ],
        )?;
    }
    Ok(())
}

fn costs(whole: &Results, against: &str) -> Result<(), Failure> {
    let than = format!("{against}, points");
    // The two of a pair meet the same worlds: their difference is surer than either of them.
    let columns: Columns = &[
        (-15, "policy", ""),
        (21, "cost", "points an episode"),
        (20, "harm", "points an episode"),
        (23, "cost more than", &than),
        (21, "harm more than", &than),
    ];
    head(columns)?;
    for (standing, difference) in whole.standings.iter().zip(&whole.differences) {
        row(
            columns,
            &[
                standing.policy.clone(),
                estimate(&standing.cost, standing.episodes),
                estimate(&standing.harm, standing.episodes),
                more(difference.as_ref().map(|by| &by.cost), standing.episodes),
                more(difference.as_ref().map(|by| &by.harm), standing.episodes),
            ],
        )?;
    }
    Ok(())
}

fn each(parts: &[Results]) -> Result<(), Failure> {
    let columns: Columns = &[
        (-17, "policy", ""),
        (21, "cost", "points an episode"),
        (21, "harm", "points an episode"),
        (8, "missed", "%"),
        (8, "false", "%"),
        (8, "good to", "100 %"),
        (8, "min to", "100 %"),
        (9, "min to", "rollback"),
    ];
    head(columns)?;
    for results in parts {
        let Some(first) = results.standings.first() else { continue };
        print::line(&format!(
            "{}: episodes {}, bad flags {}, good flags {}",
            results.part, first.episodes, first.bad_flags, first.good_flags
        ))?;
        for standing in &results.standings {
            row(
                columns,
                &[
                    format!("  {}", standing.policy),
                    estimate(&standing.cost, standing.episodes),
                    estimate(&standing.harm, standing.episodes),
                    percent(standing.missed_percent, standing.bad_flags),
                    percent(standing.false_rollbacks_percent, standing.good_flags),
                    percent(standing.completed_percent, standing.good_flags),
                    minutes(standing.mean_minutes_to_full),
                    minutes(standing.minutes_to_rollback),
                ],
            )?;
        }
    }
    Ok(())
}

fn head(columns: Columns) -> Result<(), Failure> {
    row(columns, &columns.iter().map(|(_, what, _)| (*what).to_owned()).collect::<Vec<_>>())?;
    row(columns, &columns.iter().map(|(_, _, unit)| (*unit).to_owned()).collect::<Vec<_>>())
}

fn row(columns: Columns, cells: &[String]) -> Result<(), Failure> {
    let cells = columns.iter().zip(cells).map(|((width, ..), cell)| {
        let size = usize::from(width.unsigned_abs());
        if *width < 0 { format!("{cell:<size$}") } else { format!("{cell:>size$}") }
    });
    // What is wider than its column still stands apart from the one before it.
    let line = cells.fold(String::new(), |line, cell| {
        let apart = if line.is_empty() || line.ends_with(' ') || cell.starts_with(' ') { "" } else { " " };
        line + apart + &cell
    });
    print::line(line.trim_end())
}

/// With one decimal where it matters.
fn number(value: f64) -> String {
    // What would be shown as -0.0 is shown as 0.0.
    let value = if value.abs() < 0.05 { 0.0 } else { value };
    match value.abs() {
        0.0..1_000.0 => format!("{value:.1}"),
        1_000.0..100_000.0 => format!("{value:.0}"),
        _ => format!("{:.0}k", value / 1_000.0),
    }
}

fn estimate(estimate: &Estimate, episodes: u64) -> String {
    if episodes < FEWEST {
        return number(estimate.mean);
    }
    format!("{} [{}, {}]", number(estimate.mean), number(estimate.low), number(estimate.high))
}

/// With two decimals.
fn hundredths(Estimate { mean, low, high }: &Estimate, episodes: u64) -> String {
    if episodes < FEWEST { format!("{mean:.2}") } else { format!("{mean:.2} [{low:.2}, {high:.2}]") }
}

fn share(percent: f64, ends: Option<[f64; 2]>, episodes: u64) -> String {
    // A hundred needs no decimal, and has no room for one.
    let text = ends.map(|[low, high]| estimate(&Estimate { mean: percent, low, high }, episodes));
    text.map_or("-".to_owned(), |text| text.replace("100.0", "100"))
}

/// A mean that there may not be.
fn between(mean: Option<f64>, ends: Option<[f64; 2]>, episodes: u64) -> String {
    mean.map_or("-".to_owned(), |mean| share(mean, ends, episodes))
}

fn percent(percent: f64, of: u64) -> String {
    if of == 0 { "-".to_owned() } else { format!("{percent:.1}") }
}

fn minutes(minutes: Option<f64>) -> String {
    minutes.map_or("-".to_owned(), |minutes| format!("{minutes:.1}"))
}

/// With its sign, since less is better.
fn more(difference: Option<&Estimate>, episodes: u64) -> String {
    difference.map_or("-".to_owned(), |difference| {
        let sign = if difference.mean >= 0.05 { "+" } else { "" };
        format!("{sign}{}", estimate(difference, episodes))
    })
}
