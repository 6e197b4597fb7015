//! What a handler asks of whoever calls it, read off its own signature, so that the description of the API and the
//! request guard cannot differ: the extractor that refuses is the type that says which scope is needed.
//!
//! Knows neither paths nor what handlers do.

use std::iter;

use utoipa::openapi::{PathItem, security::SecurityRequirement};
use utoipa_axum::router::UtoipaMethodRouter;

use super::{
    Problem,
    access::{Eval, Ingest, OPEN_TO_LOOPBACK, Operator, Viewer},
};
use knightwatch_core::control::Scope;

/// The name of the scheme in the description.
pub(super) const SCHEME: &str = "bearer";

/// An extractor that lets in whoever has a scope.
pub(super) trait Asks {
    /// Which.
    const SCOPE: Scope;
}

macro_rules! asks {
    ($($name:ident),*) => { $(impl Asks for $name { const SCOPE: Scope = Scope::$name; })* };
}

asks!(Viewer, Operator, Eval, Ingest);

/// Refused by the handler itself, which words the answer.
impl<A: Asks> Asks for Result<A, Problem> {
    const SCOPE: Scope = A::SCOPE;
}

/// A handler whose second argument lets in whoever has a scope; the first is the state, the rest is what is asked.
pub(super) trait Guarded<Arguments> {
    /// Which.
    const SCOPE: Scope;
}

macro_rules! guarded {
    ($($rest:ident)*) => {
        impl<F, R, S, A: Asks, $($rest),*> Guarded<(S, A, $($rest,)*)> for F
        where
            F: Fn(S, A, $($rest),*) -> R,
        {
            const SCOPE: Scope = A::SCOPE;
        }
    };
}

guarded!();
guarded!(T);
guarded!(T U);
guarded!(T U V);
guarded!(T U V W);

/// What `handler` asks for.
pub(super) const fn scope_of<Arguments, H: Guarded<Arguments>>(_: &H) -> Scope {
    H::SCOPE
}

/// The same routes, described as asking for `scope`.
pub(super) fn described<S: Clone + Send + Sync + 'static>(
    (schemas, mut paths, router): UtoipaMethodRouter<S>,
    scope: Scope,
) -> UtoipaMethodRouter<S> {
    for PathItem { get, put, post, delete, options, head, patch, trace, .. } in paths.paths.values_mut() {
        for operation in
            [get, put, post, delete, options, head, patch, trace].into_iter().filter_map(Option::as_mut)
        {
            // The empty requirement: whoever brings no token is let in where loopback is open.
            let bare = OPEN_TO_LOOPBACK.contains(&scope).then(SecurityRequirement::default);
            let bearer = SecurityRequirement::new(SCHEME, [scope.as_str()]);
            operation.security = Some(iter::once(bearer).chain(bare).collect());
        }
    }
    (schemas, paths, router)
}

/// The route of a handler, described as asking for what it asks for.
macro_rules! asking {
    ($($handler:tt)+) => {
        $crate::server::guarded::described(
            utoipa_axum::routes!($($handler)+),
            $crate::server::guarded::scope_of(&$($handler)+),
        )
    };
}

pub(super) use asking;
