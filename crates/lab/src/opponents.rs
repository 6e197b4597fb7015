//! Opponents: the ways that rollouts are judged today, each as its product's documentation or its paper describes it.
//!
//! PPO-Master is compared with them; nobody may steer with them. Each has the product's defaults, and settings that can be tuned.
//! The table [`ALL`] lists every policy that can be compared: the ones that may steer, and a row for each opponent.

mod argo;
mod burn_rate;
mod growthbook;
mod kayenta;
mod launchdarkly;
mod li_mao_bojinov;
mod pool;
mod quantile_cs;
mod ranks;
mod statsig;
#[cfg(test)]
mod tests;

use knightwatch_agent::{PolicyName, PolicyRow, Settings, SettingsError, UnknownPolicy};

use argo::Argo;
use burn_rate::BurnRate;
use growthbook::GrowthBook;
use kayenta::Kayenta;
use launchdarkly::LaunchDarkly;
use li_mao_bojinov::LiMaoBojinov;
use quantile_cs::QuantileCs;
use statsig::Statsig;

/// The settings that tuning has found, as compiled in: one table for each policy.
pub const TUNED: &str = include_str!("../../../config/opponents.toml");

static ARGO_ROW: PolicyRow =
    PolicyRow::tunable::<Argo>("argo", "Argo Rollouts' example, its limits set for the service");
static KAYENTA_ROW: PolicyRow =
    PolicyRow::tunable::<Kayenta>("kayenta", "Kayenta's canary judge: Mann-Whitney on errors and P99");
static GROWTHBOOK_ROW: PolicyRow = PolicyRow::tunable::<GrowthBook>(
    "growthbook",
    "GrowthBook's safe rollout: one-sided confidence sequences",
);
static LAUNCHDARKLY_ROW: PolicyRow =
    PolicyRow::tunable::<LaunchDarkly>("launchdarkly", "a guarded rollout as LaunchDarkly has it");
static STATSIG_ROW: PolicyRow =
    PolicyRow::tunable::<Statsig>("statsig-msprt", "Statsig's mixture sequential test");
static QUANTILE_CS_ROW: PolicyRow =
    PolicyRow::tunable::<QuantileCs>("quantile-cs", "confidence sequences on the share beyond P99");
static BURN_RATE_ROW: PolicyRow =
    PolicyRow::tunable::<BurnRate>("burn-rate", "Google's burn-rate alerts on the canary");
static LI_MAO_BOJINOV_ROW: PolicyRow =
    PolicyRow::tunable::<LiMaoBojinov>("li-mao-bojinov", "the largest stage that fits a risk budget");

/// Argo Rollouts.
pub const ARGO: PolicyName = PolicyName::of(&ARGO_ROW);
/// Kayenta, with its `NetflixACAJudge`.
pub const KAYENTA: PolicyName = PolicyName::of(&KAYENTA_ROW);
/// `GrowthBook`'s safe rollouts.
pub const GROWTHBOOK: PolicyName = PolicyName::of(&GROWTHBOOK_ROW);
/// `LaunchDarkly`'s guarded rollouts.
pub const LAUNCHDARKLY: PolicyName = PolicyName::of(&LAUNCHDARKLY_ROW);
/// Statsig's sequential test.
pub const STATSIG: PolicyName = PolicyName::of(&STATSIG_ROW);
/// Howard and Ramdas' quantile confidence sequence.
pub const QUANTILE_CS: PolicyName = PolicyName::of(&QUANTILE_CS_ROW);
/// Google's multi-window burn rates.
pub const BURN_RATE: PolicyName = PolicyName::of(&BURN_RATE_ROW);
/// Li, Mao and Bojinov's phased release.
pub const LI_MAO_BOJINOV: PolicyName = PolicyName::of(&LI_MAO_BOJINOV_ROW);

/// Every policy that can be compared, the ones that may steer first.
pub const ALL: [PolicyName; 14] = [
    PolicyName::PPO_MASTER,
    PolicyName::RULE,
    PolicyName::SCHEDULE,
    PolicyName::FLAGGER,
    PolicyName::SHIELD_ALONE,
    PolicyName::RANDOM,
    ARGO,
    KAYENTA,
    GROWTHBOOK,
    LAUNCHDARKLY,
    STATSIG,
    QUANTILE_CS,
    BURN_RATE,
    LI_MAO_BOJINOV,
];

/// The policy of this name.
///
/// # Errors
/// A name that none of them has.
pub fn named(text: &str) -> Result<PolicyName, UnknownPolicy> {
    PolicyName::find(text, &ALL)
}

/// The settings that tuning has found for a policy; `None` where it was not tuned.
///
/// # Errors
/// A file that is not one table for each policy.
pub fn tuned(policy: &str) -> Result<Option<Settings>, SettingsError> {
    let wrong = |text: String| SettingsError { policy: policy.to_owned(), text };
    let file: toml::Table = toml::from_str(TUNED).map_err(|error| wrong(error.to_string()))?;
    match file.get(policy) {
        None => Ok(None),
        Some(toml::Value::Table(table)) => Ok(Some(Settings(table.clone()))),
        Some(other) => Err(wrong(format!("expected a table, found {other}"))),
    }
}
