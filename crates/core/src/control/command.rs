//! The commands that can be given, and the table of the orders that people give: a variant and a row each.
//!
//! The serialized form of a command is the request body of its order, plus the name of the command and what stands in the
//! path. A row says everything else that HTTP, the command line and the control room need, so an order is added here and
//! in [`decide`](super::decide()). Two commands have no row: CI reports deployments as `CDEvents`, and what is wrong with
//! the flag definitions comes from the program itself.

mod wire;

use serde::{Deserialize, Serialize};

use super::{
    AlarmId, Argument, Confirmation, DeployKind, HttpMethod, Offer, OrderSpec, OrderTarget, PaletteEntry,
    Parameter, Phase, Presence, Priority, ReasonGiven, Scope, SpecChange, ValueKind,
};
use crate::{
    flag::{Deployment, FlagKey, FlagSpec, Rollout},
    telemetry::Millis,
};

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Declare a new flag.
    Create {
        /// The declaration.
        #[serde(flatten, with = "wire::declaration")]
        spec: FlagSpec,
    },
    /// Change what is declared of a flag; its rollout stays where it is.
    Change {
        /// Which flag.
        flag: FlagKey,
        /// What becomes different.
        #[serde(flatten, with = "wire::change")]
        change: SpecChange,
    },
    /// Put a flag that is at rest away for good; its key is never used again.
    Archive {
        /// Which flag.
        flag: FlagKey,
    },
    /// From idle, rolled back or killed: to the first rung, and the agent takes over.
    Start {
        /// Which flag.
        flag: FlagKey,
    },
    /// No raises until resumed.
    Pause {
        /// Which flag.
        flag: FlagKey,
    },
    /// The agent goes on.
    Resume {
        /// Which flag.
        flag: FlagKey,
    },
    /// To 0 %, at once.
    #[serde(rename = "roll_back")]
    Rollback {
        /// Which flag.
        flag: FlagKey,
    },
    /// To this share, at once; the agent keeps off until the expiry.
    Set {
        /// Which flag.
        flag: FlagKey,
        /// The share.
        #[serde(rename = "percent", with = "wire::percent")]
        rollout: Rollout,
        /// For how long the agent keeps off; the configured human hold where absent.
        expires_in: Option<Millis>,
        /// Also switch the shield's hard limits off for that time.
        #[serde(default)]
        guard_off: bool,
    },
    /// Straight to 100 %.
    Promote {
        /// Which flag.
        flag: FlagKey,
    },
    /// Hand the flag back to the agent before its hold expires.
    Release {
        /// Which flag.
        flag: FlagKey,
    },
    /// Everything off, the agent locked out, until a person re-arms.
    KillAll,
    /// Open the kill latch; starts nothing.
    Rearm {
        /// The environment's name, typed by the person.
        environment: String,
    },
    /// A pipeline says what runs now.
    Deployed {
        /// How it came about.
        kind: DeployKind,
        /// What runs.
        what: Deployment,
    },
    /// The flag definitions that should be in force cannot be, or are again.
    Definitions {
        /// What is wrong with them; `None` where nothing is.
        fault: Option<String>,
    },
    /// An alarm was seen.
    Acknowledge {
        /// Which.
        alarm: AlarmId,
    },
    /// Take an alarm out of sight for a time.
    Shelve {
        /// Which.
        alarm: AlarmId,
        /// For how long.
        #[serde(rename = "for")]
        lasts: Millis,
    },
    /// The briefing was read and acknowledged.
    AcknowledgeBriefing,
}

impl Command {
    /// The name of its row, which is also its name in serialized form.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Change { .. } => "change",
            Self::Archive { .. } => "archive",
            Self::Start { .. } => "start",
            Self::Pause { .. } => "pause",
            Self::Resume { .. } => "resume",
            Self::Rollback { .. } => "roll_back",
            Self::Set { .. } => "set",
            Self::Promote { .. } => "promote",
            Self::Release { .. } => "release",
            Self::KillAll => "kill_all",
            Self::Rearm { .. } => "rearm",
            Self::Deployed { .. } => "deployed",
            Self::Definitions { .. } => "definitions",
            Self::Acknowledge { .. } => "acknowledge",
            Self::Shelve { .. } => "shelve",
            Self::AcknowledgeBriefing => "acknowledge_briefing",
        }
    }

    /// Its row; `None` for what is not ordered by people.
    #[must_use]
    pub fn spec(&self) -> Option<&'static OrderSpec> {
        ORDERS.iter().find(|spec| spec.name == self.name())
    }

    /// The flag it is about, where it is about one.
    #[must_use]
    pub const fn flag(&self) -> Option<&FlagKey> {
        match self {
            Self::Create { spec } => Some(&spec.key),
            Self::Change { flag, .. }
            | Self::Archive { flag }
            | Self::Start { flag }
            | Self::Pause { flag }
            | Self::Resume { flag }
            | Self::Rollback { flag }
            | Self::Set { flag, .. }
            | Self::Promote { flag }
            | Self::Release { flag } => Some(flag),
            Self::KillAll
            | Self::Rearm { .. }
            | Self::Deployed { .. }
            | Self::Definitions { .. }
            | Self::Acknowledge { .. }
            | Self::Shelve { .. }
            | Self::AcknowledgeBriefing => None,
        }
    }
}

/// The body of orders that take nothing but a reason.
const WHY: (&str, &str) = ("Why", "Why, in the person's words.");

/// What most orders on a flag have in common; a row names the rest.
const ON_A_FLAG: OrderSpec = OrderSpec {
    name: "",
    verb: "",
    sentence: "",
    details: "",
    phrase: "",
    method: HttpMethod::Post,
    path: "",
    tag: "flags",
    scope: Scope::Operator,
    target: OrderTarget::Flag,
    parameters: &[],
    body: WHY,
    reason: ReasonGiven::Optional,
    raises: false,
    stops: false,
    confirmation: Confirmation::None,
    offer: Offer::Entry(PaletteEntry { name: "", short: "", keys: &[], help: "" }),
    why_not: |_| None,
};

/// What most orders on an alarm have in common.
const ON_AN_ALARM: OrderSpec = OrderSpec { tag: "watch", target: OrderTarget::Alarm, ..ON_A_FLAG };

/// What most orders on the whole backend have in common.
const ON_THE_BACKEND: OrderSpec = OrderSpec { tag: "emergency", target: OrderTarget::Backend, ..ON_A_FLAG };

const DESCRIPTION: Parameter = Parameter {
    name: "description",
    kind: ValueKind::Text,
    presence: Presence::Optional,
    description: "What it is for.",
    argument: Argument::Option { name: "description", value: "TEXT" },
    help: "What it is for",
    label: "about",
    hint: "",
};

const LADDER: Parameter = Parameter {
    name: "ladder",
    kind: ValueKind::Ladder,
    presence: Presence::Nullable,
    description: "The rungs in percent, ascending, ending with 99 and 100. The usual ladder where it is left out.",
    argument: Argument::Option { name: "ladder", value: "PERCENTS" },
    help: "The rungs in percent, ascending, ending with 99 and 100, such as 1,5,25,99,100",
    label: "ladder",
    hint: "",
};

const DEPLOYMENT: Parameter = Parameter {
    name: "deployment",
    kind: ValueKind::Deployment { clearable: false },
    presence: Presence::Nullable,
    description: "The deployment that it waits for when it is started. It starts at once where it is left out.",
    argument: Argument::Option { name: "deployment", value: "SERVICE" },
    help: "The service whose deployment it waits for when it is started",
    label: "waits",
    hint: "",
};

/// Every order that people give, in the order of the command line's help. The control room lists kill-all first, then
/// what makes things safer, then the rest.
pub const ORDERS: &[OrderSpec] = &[
    OrderSpec {
        name: "start",
        verb: "start",
        sentence: "Starts an idle, rolled back or killed flag at its first rung",
        phrase: "start {flag}",
        path: "/api/v1/flags/{key}/start",
        raises: true,
        confirmation: Confirmation::Ask("It goes to {first}, and the agent moves it from there."),
        offer: Offer::Entry(PaletteEntry {
            name: "start",
            short: "",
            keys: &["F5"],
            help: "this flag to its first rung, then the agent moves it; asks for y",
        }),
        why_not: |seen| {
            let flag = seen.flag.filter(|flag| !flag.phase.needs_start())?;
            Some(format!("{} is {}: it was started", flag.key, flag.phase))
        },
        ..ON_A_FLAG
    },
    OrderSpec {
        name: "pause",
        verb: "pause",
        sentence: "Pauses a ramping flag: no raises; the shield still guards",
        phrase: "pause {flag}",
        path: "/api/v1/flags/{key}/pause",
        stops: true,
        offer: Offer::Entry(PaletteEntry {
            name: "pause or resume",
            short: "pause/resume",
            keys: &["p"],
            help: "no raises on this flag until resumed; the shield still guards; acts at once",
        }),
        why_not: |seen| {
            let flag = seen.flag.filter(|flag| flag.phase != Phase::Ramping)?;
            Some(format!("{} is {}: nothing to pause", flag.key, flag.phase))
        },
        ..ON_A_FLAG
    },
    OrderSpec {
        name: "resume",
        verb: "resume",
        sentence: "Resumes a paused flag",
        phrase: "resume {flag}",
        path: "/api/v1/flags/{key}/resume",
        offer: Offer::With("pause"),
        why_not: |seen| {
            let flag = seen.flag.filter(|flag| flag.phase != Phase::Paused)?;
            Some(format!("{} is {}: nothing to resume", flag.key, flag.phase))
        },
        ..ON_A_FLAG
    },
    OrderSpec {
        name: "roll_back",
        verb: "rollback",
        sentence: "Rolls a flag back to 0 %",
        phrase: "roll {flag} back",
        path: "/api/v1/flags/{key}/rollback",
        stops: true,
        confirmation: Confirmation::Ask("It goes to 0 % at once; only a person starts it again."),
        offer: Offer::Entry(PaletteEntry {
            name: "roll back",
            short: "roll back",
            keys: &["r"],
            help: "this flag to 0 %; asks for y",
        }),
        // What is seen may be old while the link is down: then the backend is asked all the same.
        why_not: |seen| {
            let at_rest = |flag: &super::SeenFlag<'_>| flag.rollout.is_zero() && flag.phase.is_settled();
            let flag = seen.flag.filter(|flag| seen.live && at_rest(flag))?;
            let next = match (flag.phase, seen.latched) {
                (Phase::Killed, true) => "; F12 re-arms, then F5 starts it",
                _ => "; F5 starts it",
            };
            Some(format!("{} is {} at 0 %{next}", flag.key, flag.phase))
        },
        ..ON_A_FLAG
    },
    OrderSpec {
        name: "set",
        verb: "set",
        sentence: "Overrides a flag's rollout for a time",
        phrase: "set {flag} to {percent}",
        path: "/api/v1/flags/{key}/set",
        parameters: &[
            Parameter {
                name: "percent",
                kind: ValueKind::Percent,
                presence: Presence::Required,
                description: "The rollout, 0 to 100.",
                argument: Argument::Positional("PERCENT"),
                help: "The rollout in percent, 0 to 100",
                label: "share",
                hint: "percent, 0 to 100",
            },
            Parameter {
                name: "expires_in",
                // A week: longer ones are a decision, not an override.
                kind: ValueKind::Span { form_minutes: 7 * 24 * 60 },
                presence: Presence::Nullable,
                description: "For how long the agent keeps off: `\"15 min\"`, or milliseconds. As configured where it is left out.",
                argument: Argument::Option { name: "for", value: "TIME" },
                help: "How long the agent stays off, such as \"15 min\" [default: as the backend is configured]",
                label: "for",
                hint: "minutes; empty: the backend's default hold",
            },
            Parameter {
                name: "guard_off",
                kind: ValueKind::KillSwitch {
                    off: "hard limits stay on (Space switches them off)",
                    on: "hard limits OFF until it expires",
                    needs: &[
                        ("expires_in", "expected minutes: the guard is never off without an expiry"),
                        ("reason", "expected a reason: the guard is to be off"),
                    ],
                },
                presence: Presence::Optional,
                description: "Whether the hard limits are off until then.",
                argument: Argument::Option { name: "guard-off", value: "" },
                help: "Switch the shield's hard limits off until then",
                label: "guard",
                hint: "",
            },
        ],
        body: ("Override", "What an override asks for."),
        raises: true,
        confirmation: Confirmation::Form {
            does: "set",
            text: "now {phase} at {rollout}; the agent keeps off until this expires",
        },
        offer: Offer::Entry(PaletteEntry {
            name: "override",
            short: "override",
            keys: &["o"],
            help: "set this flag's rollout by hand, with an expiry; opens a form",
        }),
        ..ON_A_FLAG
    },
    OrderSpec {
        name: "promote",
        verb: "promote",
        sentence: "Takes a flag to 100 % at once",
        phrase: "promote {flag} to 100 %",
        path: "/api/v1/flags/{key}/promote",
        raises: true,
        confirmation: Confirmation::Ask("It goes straight to 100 %: the agent's steps are skipped."),
        offer: Offer::Entry(PaletteEntry {
            name: "promote",
            short: "",
            keys: &["F8"],
            help: "this flag straight to 100 %; asks for y",
        }),
        why_not: |seen| {
            let flag = seen.flag.filter(|flag| flag.rollout.is_full())?;
            Some(format!("{} is at 100 %", flag.key))
        },
        ..ON_A_FLAG
    },
    OrderSpec {
        name: "release",
        verb: "release",
        sentence: "Hands a flag back to the agent",
        phrase: "release {flag}",
        path: "/api/v1/flags/{key}/release",
        confirmation: Confirmation::Ask("The agent may move it again at once; a person's hold ends."),
        offer: Offer::Entry(PaletteEntry {
            name: "release",
            short: "",
            keys: &["F6"],
            help: "hand this flag back to the agent before a person's hold ends; asks for y",
        }),
        why_not: |seen| {
            let flag = seen.flag.filter(|flag| !flag.held)?;
            Some(format!("{} is not under manual control", flag.key))
        },
        ..ON_A_FLAG
    },
    OrderSpec {
        name: "kill_all",
        verb: "kill-all",
        sentence: "Turns every flag off at once and locks the agent out until a person re-arms",
        details: "In force for evaluation before anything is written. The answer says whether it is on the disk. Nothing in how it \
                  is asked is a reason\nnot to: a body or an `Idempotency-Key` that makes no sense is left aside.",
        phrase: "kill-all",
        path: "/api/v1/kill-all",
        stops: true,
        confirmation: Confirmation::Arm,
        offer: Offer::Entry(PaletteEntry {
            name: "kill-all",
            short: "kill all",
            keys: &["Ctrl-K", "Ctrl-X"],
            help: "every flag to 0 %, the agent locked out: arms it, then K executes",
        }),
        ..ON_THE_BACKEND
    },
    OrderSpec {
        name: "rearm",
        verb: "rearm",
        sentence: "Opens the latch after a kill-all; starts nothing",
        details: "Where re-arming takes two people, the first one's order is journalled as asking, and the latch stays.",
        phrase: "re-arm {environment}",
        path: "/api/v1/rearm",
        scope: Scope::Admin,
        parameters: &[Parameter {
            name: "environment",
            kind: ValueKind::Environment,
            presence: Presence::Required,
            description: "The environment's name, as proof that this is the one that is meant.",
            argument: Argument::Option { name: "env", value: "NAME" },
            help: "The environment's name; it must match the backend's",
            label: "name",
            hint: "type {environment}",
        }],
        body: ("Rearm", "What re-arming asks for."),
        reason: ReasonGiven::Required("Why; re-arming is refused without."),
        confirmation: Confirmation::Form {
            does: "re-arm",
            text: "This opens the kill latch and starts nothing: every flag stays killed.",
        },
        offer: Offer::Entry(PaletteEntry {
            name: "re-arm",
            short: "",
            keys: &["F12"],
            help: "open the kill latch; starts nothing; wants the environment's name and a reason",
        }),
        why_not: |seen| (!seen.latched).then(|| "kill-all is not in force: nothing to re-arm".to_owned()),
        ..ON_THE_BACKEND
    },
    OrderSpec {
        name: "create",
        verb: "create",
        sentence: "Creates a flag, idle at 0 %",
        phrase: "create {key}",
        path: "/api/v1/flags",
        tag: "flags",
        scope: Scope::Admin,
        parameters: &[
            Parameter {
                name: "key",
                kind: ValueKind::Key,
                presence: Presence::Required,
                description: "ASCII letters, digits, `-`, `_`, `.` and `/`; at most 100. Keys are never used again.",
                argument: Argument::Positional("FLAG"),
                help: "Its key: ASCII letters, digits, '-', '_', '.' and '/'; keys are never used again",
                label: "key",
                hint: "",
            },
            Parameter {
                name: "service",
                kind: ValueKind::Service,
                presence: Presence::Required,
                description: "The service that it is in.",
                argument: Argument::Option { name: "service", value: "SERVICE" },
                help: "The service that it is in",
                label: "service",
                hint: "",
            },
            Parameter {
                name: "kind",
                kind: ValueKind::Word(&["requests", "jobs"]),
                presence: Presence::Optional,
                description: "`requests` or `jobs`.",
                argument: Argument::Option { name: "kind", value: "KIND" },
                help: "What its traffic is: requests or jobs [default: requests]",
                label: "kind",
                hint: "",
            },
            DESCRIPTION,
            LADDER,
            DEPLOYMENT,
        ],
        body: ("NewFlag", "A flag to be made."),
        confirmation: Confirmation::Form {
            does: "create",
            text: "It is idle at 0 % until a person starts it.",
        },
        offer: Offer::Entry(PaletteEntry {
            name: "create flag",
            short: "",
            keys: &[],
            help: "make a flag, idle at 0 %; a form",
        }),
        ..ON_THE_BACKEND
    },
    OrderSpec {
        name: "change",
        verb: "change",
        sentence: "Changes a flag's declaration; its rollout stays as it is",
        phrase: "change {flag}",
        method: HttpMethod::Patch,
        path: "/api/v1/flags/{key}",
        scope: Scope::Admin,
        parameters: &[
            Parameter { presence: Presence::Nullable, ..DESCRIPTION },
            Parameter {
                description: "The rungs in percent, ascending, ending with 99 and 100. The rollout stays where it is; of a ramping or \
                              paused flag\nit has to be one of them.",
                ..LADDER
            },
            Parameter {
                kind: ValueKind::Deployment { clearable: true },
                description: "The deployment that it waits for when it is started; `null` for none.",
                ..DEPLOYMENT
            },
        ],
        body: (
            "FlagChange",
            "What is to be changed of a flag: what is left out stays as it is. Its key, service and kind always do.",
        ),
        confirmation: Confirmation::Form {
            does: "change",
            text: "What is left empty stays as it is; so does the rollout.",
        },
        offer: Offer::Entry(PaletteEntry {
            name: "change flag",
            short: "",
            keys: &[],
            help: "change this flag's description, ladder or deployment; a form",
        }),
        ..ON_A_FLAG
    },
    OrderSpec {
        name: "archive",
        verb: "archive",
        sentence: "Archives a flag that is at rest: it is gone from lists, steering and evaluation, and its key is never used again",
        details: "From then on it is not found by applications, which take the default in their own code; where a file still \
                  defines it\nas steered, it is off for everybody. Its journal stays.",
        phrase: "archive {flag}",
        path: "/api/v1/flags/{key}/archive",
        scope: Scope::Admin,
        confirmation: Confirmation::AskForGood("It is gone for good: its key is never used again."),
        offer: Offer::Entry(PaletteEntry {
            name: "archive",
            short: "",
            keys: &[],
            help: "archive this flag: this cannot be undone and its key is never reused; asks for y",
        }),
        why_not: |seen| {
            let flag = seen.flag.filter(|flag| !flag.phase.is_settled())?;
            Some(format!("{} is {}: only a flag at rest is archived", flag.key, flag.phase))
        },
        ..ON_A_FLAG
    },
    OrderSpec {
        name: "shelve",
        verb: "shelve",
        sentence: "Shelves an alarm for a time: it is hidden but still counted, and returns by itself",
        phrase: "shelve alarm {alarm} for {for}",
        path: "/api/v1/alarms/{id}/shelve",
        parameters: &[Parameter {
            name: "for",
            kind: ValueKind::Span { form_minutes: 8 * 60 },
            presence: Presence::Required,
            description: "For how long, 1 min to 8 h: `\"1 h\"`, or milliseconds.",
            argument: Argument::Option { name: "for", value: "TIME" },
            help: "For how long, from \"1 min\" to \"8 h\"",
            label: "for",
            hint: "minutes, 1 to 480",
        }],
        body: ("Shelving", "What shelving an alarm asks for."),
        reason: ReasonGiven::Required("Why; shelving is refused without."),
        confirmation: Confirmation::Form { does: "shelve", text: "{text}" },
        offer: Offer::Entry(PaletteEntry {
            name: "shelve alarm",
            short: "",
            keys: &["z"],
            help: "shelve an alarm: hide it for a time, with a reason; it returns by itself; opens a form",
        }),
        why_not: |seen| match seen.alarm {
            None => Some("no alarm is there to be shelved".to_owned()),
            Some(alarm) if alarm.priority() == Priority::Critical => {
                Some(format!("alarm {} is critical: the highest priority is never hidden", alarm.id.0))
            }
            Some(_) => None,
        },
        ..ON_AN_ALARM
    },
    OrderSpec {
        name: "acknowledge",
        verb: "acknowledge",
        sentence: "Acknowledges an alarm",
        phrase: "acknowledge alarm {alarm}",
        path: "/api/v1/alarms/{id}/acknowledge",
        offer: Offer::Entry(PaletteEntry {
            name: "acknowledge alarm",
            short: "acknowledge",
            keys: &["a"],
            help: "acknowledge an alarm: the selected one, or the most urgent",
        }),
        why_not: |seen| {
            let waits = seen.alarm.is_some_and(|alarm| alarm.acknowledged_by.is_none());
            (!waits).then(|| "no alarm is waiting to be acknowledged".to_owned())
        },
        ..ON_AN_ALARM
    },
    OrderSpec {
        name: "acknowledge_briefing",
        verb: "acknowledge-briefing",
        sentence: "Acknowledges the briefing",
        phrase: "acknowledge the briefing",
        path: "/api/v1/briefing/acknowledge",
        tag: "watch",
        target: OrderTarget::Briefing,
        offer: Offer::Entry(PaletteEntry {
            name: "acknowledge briefing",
            short: "acknowledge",
            keys: &["a"],
            help: "acknowledge the briefing; it is journalled under your name",
        }),
        why_not: |seen| seen.briefed.then(|| "the briefing has been acknowledged".to_owned()),
        ..ON_THE_BACKEND
    },
];

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// One of each row, with what stands in its path and its body.
    fn samples() -> Vec<(&'static str, Value, Value)> {
        let flag = || json!("a/b");
        vec![
            ("start", flag(), json!({})),
            ("pause", flag(), json!({})),
            ("resume", flag(), json!({})),
            ("roll_back", flag(), json!({})),
            ("set", flag(), json!({"percent": 12.5, "expires_in": 900_000, "guard_off": true})),
            ("promote", flag(), json!({})),
            ("release", flag(), json!({})),
            ("kill_all", Value::Null, json!({})),
            ("rearm", Value::Null, json!({"environment": "prod"})),
            (
                "create",
                Value::Null,
                json!({
                    "key": "a/b", "service": "web", "kind": "jobs", "description": "for whom",
                    "ladder": [5.0, 99.0, 100.0], "deployment": {"service": "web", "artifact": "v2"},
                }),
            ),
            ("change", flag(), json!({"ladder": [5.0, 99.0, 100.0], "deployment": null})),
            ("archive", flag(), json!({})),
            ("shelve", json!(7), json!({"for": 3_600_000})),
            ("acknowledge", json!(7), json!({})),
            ("acknowledge_briefing", Value::Null, json!({})),
        ]
    }

    #[test]
    fn each_row_makes_its_command_and_a_command_makes_the_same_request_again() {
        let samples = samples();
        let named: Vec<_> = ORDERS.iter().map(|spec| spec.name).collect();
        assert_eq!(samples.iter().map(|(name, ..)| *name).collect::<Vec<_>>(), named);
        for (spec, (_, target, body)) in ORDERS.iter().zip(samples) {
            let fields = body.as_object().unwrap().clone();
            let target = (!target.is_null()).then_some(target);
            let command = spec.command(target, fields.clone()).unwrap();
            assert_eq!(command.name(), spec.name);
            assert_eq!(command.spec(), Some(spec));
            assert_eq!(command.flag().is_some(), spec.target == OrderTarget::Flag || spec.name == "create");
            let (path, again) = spec.request(&command);
            assert_eq!(again, fields, "{}", spec.name);
            assert_eq!(path, spec.path.replace("{key}", "a%2Fb").replace("{id}", "7"));
            assert!(!command.in_words().contains('{'), "{}", command.in_words());
        }
    }

    #[test]
    fn what_a_field_holds_is_checked_and_what_was_expected_is_said() {
        let row = |name: &str| ORDERS.iter().find(|spec| spec.name == name).unwrap();
        let refused = |name: &str, body: &Value| {
            row(name).command(Some("a".into()), body.as_object().unwrap().clone()).unwrap_err()
        };
        for (name, body, said) in [
            ("set", json!({}), "missing field `percent`"),
            ("set", json!({"percent": 140}), "between 0 % and 100 %"),
            ("set", json!({"percent": "5"}), "percent: expected a number"),
            ("set", json!({"percent": 5, "per": 1}), "unknown field `per`"),
            ("set", json!({"percent": 5, "guard_off": null}), "guard_off: expected true or false"),
            ("create", json!({"key": "a b", "service": "web"}), "key: a flag key has ASCII letters"),
            ("create", json!({"key": "a", "service": ""}), "service: expected a name of 1 to 100 bytes"),
            ("create", json!({"key": "a", "service": "w", "kind": "x"}), "requests or jobs"),
            ("change", json!({"ladder": [5.0, 1.0]}), "ladder: "),
            ("change", json!({"deployment": {"service": "w", "x": 1}}), "unknown field `x`"),
            ("shelve", json!({"for": "soon"}), "for: "),
        ] {
            let why = refused(name, &body);
            assert!(why.contains(said), "{name} {body}: {why}");
        }
    }
}
