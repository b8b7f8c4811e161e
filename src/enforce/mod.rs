//! Actions that take effect: which account, key, organisation or group is flagged, throttled, challenged or blocked, why, by
//! whom and until when. The table is a function of its entries, which are only ever added. Time is an argument.
//!
//! ```text
//!              ┌─ withheld                     approve            until / release
//!  proposed ───┼─ awaiting review ─┬──────────┐        ┌─────────┐
//!              │                   └─ refused ▼        │ in force├──▶ expired, released
//!              ├───────────────────────▶ delayed ────▶ └─────────┘
//!              ├───────────────────────────────────────────▲
//!              └─ shadow (never takes effect)
//! ```
//!
//! Whoever holds a log lets it number the entries and applies them in the log's order, its own as well as those that others
//! wrote: [`Table::propose`], [`Table::due`] and the acts of people only say what to write. Who holds none applies them at once.

mod action;
mod entry;
mod json;
mod people;
mod propose;
mod snapshot;
mod strike;
mod spare;
mod standing;
mod table;
mod target;

pub use action::{Action, Approval, Ended, State};
pub use entry::{Act, ActionId, Actor, Alert, Entry, NAME_CHARS_MAX, Proposed, REASON_CHARS_MAX};
pub use json::{action_json, entry_json};
pub use people::Refusal;
pub use propose::public_reason;
pub use snapshot::{SNAPSHOT_VERSION, Unreadable};
pub use standing::{Caller, InForce, STANDING_MAX};
pub use strike::{Strike, is_at_arrival};
pub use table::{DUE_MAX, Options, Table};
pub use target::{Held, Scope, Terms};
