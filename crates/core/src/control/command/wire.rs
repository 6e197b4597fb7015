//! Fields whose form in a request differs from their form in the journal: shares are percentages there, and a declaration
//! stands beside the other fields.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    control::present,
    flag::{Deployment, FlagKey, FlagKind, Ladder, Rollout, ServiceName},
};

fn from_percents<E: serde::de::Error>(percents: Vec<f64>) -> Result<Ladder, E> {
    let rungs: Result<Vec<_>, _> = percents.into_iter().map(Rollout::from_percent).collect();
    Ladder::try_from(rungs.map_err(E::custom)?).map_err(E::custom)
}

fn to_percents(ladder: &Ladder) -> Vec<f64> {
    ladder.rungs().iter().map(|rung| rung.percent()).collect()
}

/// A rollout in percent.
pub(super) mod percent {
    use super::{Deserialize, Deserializer, Rollout, Serialize, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
    pub(in crate::control::command) fn serialize<S: Serializer>(
        rollout: &Rollout,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        rollout.percent().serialize(to)
    }

    pub(in crate::control::command) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Rollout, D::Error> {
        Rollout::from_percent(f64::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

/// The declaration of a new flag.
pub(super) mod declaration {
    use super::{
        Deployment, Deserialize, Deserializer, FlagKey, FlagKind, Serialize, Serializer, ServiceName,
        from_percents, to_percents,
    };
    use crate::flag::FlagSpec;

    #[derive(Serialize, Deserialize)]
    struct Declaration {
        key: FlagKey,
        service: ServiceName,
        #[serde(default)]
        kind: FlagKind,
        #[serde(default)]
        description: String,
        #[serde(default)]
        ladder: Option<Vec<f64>>,
        #[serde(default)]
        deployment: Option<Deployment>,
    }

    pub(in crate::control::command) fn serialize<S: Serializer>(
        spec: &FlagSpec,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let FlagSpec { key, service, kind, description, ladder, deployment } = spec.clone();
        let ladder = Some(to_percents(&ladder));
        Declaration { key, service, kind, description, ladder, deployment }.serialize(to)
    }

    pub(in crate::control::command) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<FlagSpec, D::Error> {
        let Declaration { key, service, kind, description, ladder, deployment } =
            Declaration::deserialize(from)?;
        let ladder = ladder.map(from_percents).transpose()?.unwrap_or_default();
        Ok(FlagSpec { key, service, kind, description, ladder, deployment })
    }
}

/// What becomes different about a flag.
pub(super) mod change {
    use super::{
        Deployment, Deserialize, Deserializer, Serialize, Serializer, from_percents, present, to_percents,
    };
    use crate::control::SpecChange;

    #[derive(Serialize, Deserialize)]
    #[expect(clippy::option_option, reason = "left out and null say different things")]
    struct Change {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ladder: Option<Vec<f64>>,
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        deployment: Option<Option<Deployment>>,
    }

    pub(in crate::control::command) fn serialize<S: Serializer>(
        change: &SpecChange,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let SpecChange { description, ladder, deployment } = change.clone();
        Change { description, ladder: ladder.as_ref().map(to_percents), deployment }.serialize(to)
    }

    pub(in crate::control::command) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<SpecChange, D::Error> {
        let Change { description, ladder, deployment } = Change::deserialize(from)?;
        Ok(SpecChange { description, ladder: ladder.map(from_percents).transpose()?, deployment })
    }
}
