//! Prerequisites: a flag that gives its `off` unless other flags give what it names.
//!
//! flagd's schema has none, so they stand in metadata: `knightwatch.prerequisites` = `flag-a=on, flag-b=blue`. Checked at
//! load, so that evaluation can follow them without looking back: every flag is known, no flag needs itself, and nobody's
//! question becomes thousands.

use std::collections::HashMap;

use super::{
    Definition,
    document_path::{DocumentPath, Mistake},
    steering::PREREQUISITES,
};
use crate::flag::{FlagKey, clean_line};

/// Most other flags that are evaluated for one, all the way down.
const MAX_EVALUATIONS: usize = 64;

/// One flag that has to give one variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prerequisite {
    /// The flag.
    pub flag: FlagKey,
    /// The name of the variant.
    pub variant: String,
}

/// Reads `flag-a=on, flag-b=on`.
pub(super) fn read(text: &str, location: &DocumentPath<'_>) -> Result<Vec<Prerequisite>, Mistake> {
    let location = location.key(PREREQUISITES);
    text.split(',')
        .map(|part| {
            let Some((flag, variant)) = part.split_once('=') else {
                let part = clean_line(part);
                return Err(
                    location.wrong(format!("expected flag=variant, several with commas, found {part:?}"))
                );
            };
            let flag = flag.trim().parse().map_err(|error| location.wrong(format!("{error}")))?;
            Ok(Prerequisite { flag, variant: variant.trim().to_owned() })
        })
        .collect()
}

/// Looks for flags that are not there, variants that are not there, circles, and too much work.
///
/// # Errors
/// The flags (as indices into `flags`) with what is wrong with their prerequisites.
pub(super) fn check(flags: &[Definition], index: &HashMap<FlagKey, usize>) -> Vec<(usize, Mistake)> {
    let mut search = Search { flags, index, costs: vec![None; flags.len()], way: Vec::new() };
    (0..flags.len()).filter_map(|at| search.cost(at).err().map(|mistake| (at, mistake))).collect()
}

struct Search<'f> {
    flags: &'f [Definition],
    index: &'f HashMap<FlagKey, usize>,
    /// How many evaluations a flag takes, itself included.
    costs: Vec<Option<usize>>,
    way: Vec<usize>,
}

impl Search<'_> {
    fn cost(&mut self, at: usize) -> Result<usize, Mistake> {
        if let Some(cost) = self.costs[at] {
            return Ok(cost);
        }
        let flags = self.flags;
        let top = DocumentPath::top("flags");
        let flag = top.key(flags[at].key.as_str());
        let metadata = flag.key("metadata");
        let location = metadata.key(PREREQUISITES);
        self.way.push(at);
        let mut cost = 1;
        for needed in &flags[at].prerequisites {
            let Some(&other) = self.index.get(&needed.flag) else {
                return Err(self.back(location.wrong(format!("there is no flag {}", needed.flag))));
            };
            if flags[other].variant(&needed.variant).is_none() {
                let (flag, variant) = (&needed.flag, clean_line(&needed.variant));
                return Err(self.back(location.wrong(format!("flag {flag} has no variant {variant:?}"))));
            }
            if self.way.contains(&other) {
                let way: Vec<&str> = self.way.iter().map(|at| flags[*at].key.as_str()).collect();
                let circle = format!("{} -> {}", way.join(" -> "), needed.flag);
                return Err(self.back(location.wrong(format!("a flag cannot need itself: {circle}"))));
            }
            // The way is as long as the recursion is deep.
            if self.way.len() > MAX_EVALUATIONS {
                return Err(self.back(location.wrong(too_many(self.way.len()))));
            }
            match self.cost(other) {
                Ok(more) => cost += more,
                Err(below) => return Err(self.back(location.wrong(below.detail))),
            }
        }
        if cost > MAX_EVALUATIONS + 1 {
            return Err(self.back(location.wrong(too_many(cost - 1))));
        }
        self.way.pop();
        self.costs[at] = Some(cost);
        Ok(cost)
    }

    fn back(&mut self, mistake: Mistake) -> Mistake {
        self.way.pop();
        mistake
    }
}

fn too_many(found: usize) -> String {
    format!("expected at most {MAX_EVALUATIONS} flags to be evaluated for one, found {found} or more")
}
