//! In which order the fleet lists its flags.

use crate::tui::fleet_view::{FleetView, attention};
use knightwatch_engine::backend::FlagView;

/// How the fleet is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// What asks to be looked at first.
    #[default]
    Attention,
    /// By key.
    Name,
    /// The most exposed first.
    Rollout,
    /// By phase.
    Phase,
}

impl Sort {
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Attention => Self::Name,
            Self::Name => Self::Rollout,
            Self::Rollout => Self::Phase,
            Self::Phase => Self::Attention,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::Name => "name",
            Self::Rollout => "rollout",
            Self::Phase => "phase",
        }
    }

    /// Sorts positions in `fleet.flags`. Stable, from the order before: sorting what is nearly sorted costs a pass.
    pub(super) fn sort(self, rows: &mut [u32], fleet: &FleetView) {
        let flags = &fleet.flags;
        let by_key = |place: &u32| &flags[*place as usize].spec.key;
        match self {
            Self::Attention => {
                let unseen = fleet.unseen();
                let rank =
                    |flag: &FlagView| attention(flag, fleet.controller.now, unseen.contains(&flag.spec.key));
                let ranks: Vec<u8> = flags.iter().map(rank).collect();
                let rank = |place: &u32| ranks[*place as usize];
                rows.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| by_key(a).cmp(by_key(b))));
            }
            Self::Name => rows.sort_by(|a, b| by_key(a).cmp(by_key(b))),
            Self::Rollout => rows.sort_by(|a, b| {
                let share = |place: &u32| flags[*place as usize].rollout;
                share(b).cmp(&share(a)).then_with(|| by_key(a).cmp(by_key(b)))
            }),
            Self::Phase => rows.sort_by(|a, b| {
                let phase = |place: &u32| flags[*place as usize].phase;
                phase(a).cmp(&phase(b)).then_with(|| by_key(a).cmp(by_key(b)))
            }),
        }
    }
}
