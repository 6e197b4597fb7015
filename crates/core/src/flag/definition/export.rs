//! Definitions as one file for flagd, with the rollouts as they are.
//!
//! Flags that are steered without being defined are in it as they are evaluated: `on` is true, `off` is false. Read back it gives the same definitions; a flagd that reads it gives the same people `on`, provided that its hash is of
//! the generation that the file names. Prerequisites stand in it as metadata only: flagd has none.

use serde_json::{Map, Value, json};

use super::{
    Definition, Definitions,
    evaluate::ServedFlag,
    steering::{GENERATION, HASH, OFF, ON, metadata_of, put_together},
};
use crate::flag::{FlagKey, FlagSpec, Rollout};

impl Definitions {
    /// The file, with those of `steered` flags that are not defined. A steered flag that `served` does not know is off for
    /// everybody in it.
    #[must_use]
    pub fn export<'s>(
        &self,
        steered: impl Iterator<Item = &'s FlagSpec>,
        served: impl Fn(&FlagKey) -> Option<ServedFlag>,
    ) -> Value {
        // Metadata of several sets cannot stand over one file: each flag then carries its own.
        let (mut metadata, own) = match self.sets.as_slice() {
            [only] => (only.clone(), true),
            _ => (Map::new(), false),
        };
        metadata.insert(HASH.to_owned(), Value::from(GENERATION));
        let flag = |flag: &Definition| {
            let mut metadata = if own { flag.own_metadata.clone() } else { flag.metadata.clone() };
            metadata.remove(HASH);
            let of_flag = flag.export(metadata, || served(&flag.key));
            (flag.key.as_str().to_owned(), of_flag)
        };
        let mut flags: Map<String, Value> = self.flags.iter().map(flag).collect();
        for spec in steered.filter(|spec| !self.index.contains_key(&spec.key)) {
            let served = served(&spec.key).unwrap_or(NOBODY);
            let flag = json!({
                "state": "ENABLED",
                "variants": { ON: true, OFF: false },
                "defaultVariant": OFF,
                "targeting": put_together(None, served.rollout, served.off_for_all),
                "metadata": metadata_of(spec),
            });
            flags.insert(spec.key.as_str().to_owned(), flag);
        }
        json!({ "$schema": "https://flagd.dev/schema/v0/flags.json", "metadata": metadata, "flags": flags })
    }
}

/// How a flag stands that nobody knows.
const NOBODY: ServedFlag = ServedFlag { rollout: Rollout::ZERO, off_for_all: true };

impl Definition {
    fn export(&self, metadata: Map<String, Value>, served: impl FnOnce() -> Option<ServedFlag>) -> Value {
        let mut object = Map::new();
        object.insert("state".to_owned(), Value::from(if self.enabled { "ENABLED" } else { "DISABLED" }));
        object.insert("variants".to_owned(), self.variants.iter().cloned().collect::<Map<_, _>>().into());
        let rule = self.targeting.as_ref().map(|targeting| &targeting.rule);
        if self.steering.is_some() {
            let served = served().unwrap_or(NOBODY);
            // Said even where the file it came from left it out: without a targeting key a fractional gives nothing.
            object.insert("defaultVariant".to_owned(), Value::from(OFF));
            object.insert("targeting".to_owned(), put_together(rule, served.rollout, served.off_for_all));
        } else {
            if let Some((name, _)) = self.default.and_then(|at| self.variants.get(at)) {
                object.insert("defaultVariant".to_owned(), Value::from(name.as_str()));
            }
            if let Some(rule) = rule {
                object.insert("targeting".to_owned(), rule.clone());
            }
        }
        if !metadata.is_empty() {
            object.insert("metadata".to_owned(), metadata.into());
        }
        object.into()
    }
}
