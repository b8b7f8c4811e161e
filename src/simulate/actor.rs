//! Somebody or something that calls under one account: when, from where, with what, and what it asks.

use std::sync::Arc;

use super::client::Client;
use super::draw::Draw;
use super::rhythm::Rhythm;
use super::world::Place;

/// One call, as its caller means it. The rest of the event follows from account, place and client.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) prompt: String,
    pub(super) system: Option<Arc<str>>,
    pub(super) model: &'static str,
    /// When the model was released, where the gateway says so.
    pub(super) released_ms: Option<i64>,
    pub(super) max_tokens: i64,
    pub(super) temperature: f64,
    pub(super) n: i64,
    pub(super) top_logprobs: i64,
    pub(super) logit_bias: i64,
    pub(super) tools: i64,
    pub(super) stream: bool,
    pub(super) batch: bool,
    pub(super) json: bool,
    pub(super) output_tokens: i64,
    /// What is answered; drawn with a few errors where it is not given.
    pub(super) status: Option<i64>,
    pub(super) refused: bool,
    pub(super) jailbreak: Option<f64>,
    pub(super) safety: Option<(&'static str, f64)>,
    pub(super) use_case: Option<&'static str>,
    pub(super) human_review: Option<bool>,
    pub(super) ai_disclosure: Option<bool>,
    pub(super) phi: Option<bool>,
    /// Part of a campaign's account, but not of its purpose.
    pub(super) cover: bool,
}

/// The models of the provider. Made up.
pub(super) const LARGE: &str = "meridian-4";
/// A cheaper one.
pub(super) const SMALL: &str = "meridian-4-mini";
/// One that reasons before it answers.
pub(super) const THINKING: &str = "meridian-4-think";
/// An older one.
pub(super) const OLD: &str = "meridian-3";
/// The next one, where a class or campaign lives through a release.
pub(super) const NEXT: &str = "meridian-5";

impl Call {
    /// An ordinary call: streamed, moderate, of some hundred tokens.
    pub(super) fn of(model: &'static str, prompt: String, output_tokens: f64) -> Call {
        Call {
            prompt,
            system: None,
            model,
            released_ms: None,
            max_tokens: 4_096,
            temperature: 0.7,
            n: 1,
            top_logprobs: 0,
            logit_bias: 0,
            tools: 0,
            stream: true,
            batch: false,
            json: false,
            output_tokens: output_tokens as i64,
            status: None,
            refused: false,
            jailbreak: None,
            safety: None,
            use_case: None,
            human_review: None,
            ai_disclosure: None,
            phi: None,
            cover: false,
        }
    }

    /// The same from a program: not streamed, with standing instructions.
    pub(super) fn from_program(model: &'static str, system: &Arc<str>, prompt: String, output_tokens: f64) -> Call {
        Call {
            system: (!system.is_empty()).then(|| system.clone()),
            stream: false,
            temperature: 0.2,
            max_tokens: 2_048,
            ..Call::of(model, prompt, output_tokens)
        }
    }
}

/// What is known when a call is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Milliseconds since 1970.
    pub(super) at_ms: i64,
    /// Running number of the call within its actor and day.
    pub(super) n: u64,
    /// From 0.
    pub(super) turn: u16,
    /// The customer's end user, where it has some.
    pub(super) user: Option<u64>,
}

/// What is asked at a moment.
pub(super) type Asks = Arc<dyn Fn(&mut Draw, &Moment) -> Call + Send + Sync>;

/// How an actor changes between its places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Roam {
    /// Another may be taken for each session, the first most often.
    Session,
    /// Another may be taken for each call.
    Call,
    /// One after the other over the whole time, never back.
    Journey,
    /// One each day, in turn.
    Day,
    /// By the hour of the day, in turn: a quarter of an hour each, for those who ride trains over borders.
    Quarter,
}

/// Somebody or something that calls.
#[derive(Clone)]
pub(super) struct Actor {
    /// Index of the account.
    pub(super) account: usize,
    /// The key, where it is not the account's first.
    pub(super) key: Option<String>,
    /// Tells its chance from that of all others.
    pub(super) name: String,
    pub(super) rhythm: Rhythm,
    /// Sessions a day on average.
    pub(super) per_day: f64,
    /// Several turns a session, as people chat.
    pub(super) chats: bool,
    /// From when on it acts, in milliseconds since 1970.
    pub(super) from_ms: i64,
    /// Until when.
    pub(super) until_ms: i64,
    pub(super) clients: Vec<Client>,
    pub(super) places: Vec<Place>,
    pub(super) roam: Roam,
    /// How many end users it has; 0 where it names none.
    pub(super) users: u64,
    /// What its clients ask for; what is spoken in the account's country where it is empty.
    pub(super) languages: Vec<&'static str>,
    /// It serves the purpose of a campaign.
    pub(super) attacks: bool,
    /// Of the calls that its name and rhythm give, only each so many-th, and so many milliseconds later: an actor that
    /// repeats what another of the same name was refused.
    pub(super) repeats: Option<(u64, i64)>,
    pub(super) asks: Asks,
}

impl Actor {
    /// Its stream of chance for a purpose.
    pub(super) fn draw(&self, seed: u64, purpose: u64, n: u64, m: u64) -> Draw {
        Draw::of(seed, &self.name, &[purpose, n, m])
    }
}
