//! Actors and accounts into events, in order of time. A day is planned at once and its events are written one by one, so
//! that memory holds the moments of one day and no text.

use super::Simulation;
use super::account::{Account, Label, time};
use super::actor::{Actor, Call, LARGE, Moment, Roam, THINKING};
use super::client::Client;
use super::draw::Draw;
use super::event::{Called, Event};
use super::rhythm::{DAY_MS, MINUTE_MS};
use super::world::Place;

/// How many turns a chat has, by weight: 1, 2, …; four of ten chats go on, as published conversations do.
const TURNS: [f64; 12] = [58.0, 16.0, 8.5, 5.0, 3.5, 2.4, 1.8, 1.4, 1.1, 0.9, 0.8, 0.6];

/// A moment of an actor, or the opening of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Planned {
    at_ms: i64,
    /// Index of the actor; of the account where it is a sign-up.
    who: usize,
    signup: bool,
    day: i64,
    n: u64,
    session: u64,
    turn: u16,
}

/// An event and what it is in truth.
#[derive(Debug, Clone)]
pub struct Simulated {
    /// The event as one JSON line, without its end.
    pub line: String,
    /// Its id.
    pub id: String,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// Index of its account in [`Simulation::accounts`].
    pub(super) account: usize,
    /// The campaign it belongs to, and whether it serves its purpose or covers it.
    pub(super) campaign: Option<(String, &'static str)>,
    /// The kind of campaign.
    pub(super) family: &'static str,
}

/// All events of a simulation.
#[derive(Debug)]
pub struct Stream<'a> {
    of: &'a Simulation,
    day: i64,
    /// What is planned for the day, the next last.
    today: Vec<Planned>,
    /// What runs into a later day.
    later: Vec<Planned>,
    n: u64,
}

impl<'a> Stream<'a> {
    pub(super) fn new(of: &'a Simulation) -> Self {
        Stream { of, day: 0, today: Vec::new(), later: Vec::new(), n: 0 }
    }

    fn plan(&mut self) {
        let day_ms = self.of.start_ms + self.day * DAY_MS;
        let mut found = std::mem::take(&mut self.later);
        for (who, actor) in self.of.actors.iter().enumerate() {
            self.plan_actor(actor, who, day_ms, &mut found);
        }
        for (who, account) in self.of.accounts.iter().enumerate() {
            if account.signup.is_some() && (day_ms..day_ms + DAY_MS).contains(&account.created_ms) {
                let at_ms = account.created_ms;
                found.push(Planned { at_ms, who, signup: true, day: self.day, n: 0, session: 0, turn: 0 });
            }
        }
        let end_ms = self.of.end_ms();
        let (today, later): (Vec<_>, Vec<_>) = found.into_iter().partition(|p| p.at_ms < day_ms + DAY_MS);
        self.today = today;
        self.later = later;
        self.today.retain(|p| p.at_ms < end_ms);
        self.today.sort_unstable_by(|a, b| b.cmp(a));
        self.day += 1;
    }

    fn plan_actor(&self, actor: &Actor, who: usize, day_ms: i64, found: &mut Vec<Planned>) {
        if day_ms + DAY_MS <= actor.from_ms || day_ms >= actor.until_ms {
            return;
        }
        let mut draw = actor.draw(self.of.seed, 0, self.day as u64, 0);
        // The first of January 1970 was a Thursday.
        let weekday = (day_ms / DAY_MS + 3).rem_euclid(7);
        let mut moments = actor.rhythm.moments(&mut draw, day_ms, weekday, actor.per_day);
        moments.sort_unstable();
        let mut n = 0u64;
        for (session, mut at_ms) in moments.into_iter().enumerate() {
            let turns = if actor.chats { 1 + draw.weighted(TURNS.iter().copied()) } else { 1 };
            for turn in 0..turns {
                let (every, delay_ms) = actor.repeats.unwrap_or((1, 0));
                if (actor.from_ms..actor.until_ms).contains(&at_ms) {
                    found.extend(n.is_multiple_of(every).then_some(Planned {
                        at_ms: at_ms + delay_ms,
                        who,
                        signup: false,
                        day: self.day,
                        n,
                        session: session as u64,
                        turn: turn as u16,
                    }));
                    n += 1;
                }
                at_ms += (draw.skewed([9.0, 48.0, 190.0, 1_500.0]) * 1_000.0) as i64;
            }
        }
    }

    fn write(&mut self, planned: Planned) -> Simulated {
        self.n += 1;
        let id = format!("sim_{:011x}_{:07x}", planned.at_ms, self.n);
        if planned.signup { self.write_signup(planned, id) } else { self.write_call(planned, id) }
    }

    fn write_signup(&self, planned: Planned, id: String) -> Simulated {
        let account = self.of.accounts.get(planned.who).cloned().unwrap_or_default();
        let (client, place) = account.signup.clone().unwrap_or_default();
        let event =
            Event { kind: "signup", api_key_id: None, ..frame(&account, &client, &place, id.clone(), planned.at_ms) };
        Simulated {
            line: serde_json::to_string(&event).unwrap_or_default(),
            id,
            at_ms: planned.at_ms,
            account: planned.who,
            campaign: None,
            family: account.family,
        }
    }

    fn write_call(&self, planned: Planned, id: String) -> Simulated {
        let Some(actor) = self.of.actors.get(planned.who) else { return nothing(id, planned) };
        let Some(account) = self.of.accounts.get(actor.account) else { return nothing(id, planned) };
        let seed = self.of.seed;
        let mut session = actor.draw(seed, 1, planned.day as u64, planned.session);
        let mut draw = actor.draw(seed, 2, planned.day as u64, planned.n);
        // Few users ask much and most ask little.
        let user = (actor.users > 0).then(|| (session.unit() * session.unit() * actor.users as f64) as u64);
        let client = match user {
            Some(user) => actor.clients.get(user as usize % actor.clients.len().max(1)).copied().unwrap_or_default(),
            None => session.pick(&actor.clients),
        };
        let place = place(actor, planned, &mut session, &mut draw);
        let moment = Moment { at_ms: planned.at_ms, n: planned.n, turn: planned.turn, user };
        let call = (actor.asks)(&mut draw, &moment);
        let language = match user {
            Some(user) if !actor.languages.is_empty() => {
                actor.languages.get(user as usize % actor.languages.len()).copied()
            }
            _ => Some(actor.languages.first().copied().unwrap_or(account.country.language)),
        };
        let asked = asked(&call, &mut draw, planned, seed, actor);
        let device = client.on_device.then(|| device(seed, actor, user, client));
        let status = call.status.unwrap_or_else(|| ordinary_status(&mut draw));
        let event = Event {
            api_key_id: Some(actor.key.as_deref().unwrap_or(&account.key)),
            user: user.map(|user| Draw::of(seed, &actor.name, &[9, user]).name("eu_", 10)),
            device_fp: device,
            accept_language: language.filter(|_| client.on_device || !actor.languages.is_empty()),
            call: Some(answered(asked, status)),
            status,
            ..frame(account, &client, &place, id.clone(), planned.at_ms)
        };
        let role = if call.cover { "cover" } else { "attack" };
        Simulated {
            line: serde_json::to_string(&event).unwrap_or_default(),
            id,
            at_ms: planned.at_ms,
            account: actor.account,
            campaign: account.campaign.clone().filter(|_| actor.attacks).map(|campaign| (campaign, role)),
            family: account.family,
        }
    }
}

impl Iterator for Stream<'_> {
    type Item = Simulated;

    fn next(&mut self) -> Option<Simulated> {
        while self.today.is_empty() {
            if self.day >= self.of.days {
                return None;
            }
            self.plan();
        }
        self.today.pop().map(|planned| self.write(planned))
    }
}

/// Never reached: the indexes of a plan are those of its simulation.
fn nothing(id: String, planned: Planned) -> Simulated {
    Simulated { line: String::new(), id, at_ms: planned.at_ms, account: 0, campaign: None, family: "" }
}

fn place(actor: &Actor, planned: Planned, session: &mut Draw, draw: &mut Draw) -> Place {
    let n = actor.places.len().max(1);
    let at = match actor.roam {
        // The first place is home.
        Roam::Session => (session.unit() * session.unit() * n as f64) as usize,
        Roam::Call => draw.below(n),
        Roam::Journey => {
            let whole = (actor.until_ms - actor.from_ms).max(1) as i128;
            ((planned.at_ms - actor.from_ms) as i128 * n as i128 / whole) as usize
        }
        Roam::Day => planned.day as usize % n,
        Roam::Quarter => (planned.at_ms / (15 * MINUTE_MS)) as usize % n,
    };
    actor.places.get(at).or(actor.places.first()).cloned().unwrap_or_default()
}

fn device(seed: u64, actor: &Actor, user: Option<u64>, client: Client) -> String {
    Draw::of(seed, client.user_agent, &[actor.account as u64, user.unwrap_or(0)]).name("dev_", 12)
}

/// About one in a hundred calls fails: too many at once, an error of the service, a wrong request.
fn ordinary_status(draw: &mut Draw) -> i64 {
    match draw.below(1_000) {
        0..=5 => 429,
        6..=8 => 500,
        9 | 10 => 400,
        _ => 200,
    }
}

fn frame<'a>(account: &'a Account, client: &Client, place: &'a Place, id: String, at_ms: i64) -> Event<'a> {
    Event {
        id,
        ts: time(at_ms),
        kind: "completion",
        account: &account.id,
        org: &account.org,
        api_key_id: Some(&account.key),
        user: None,
        plan: account.plan,
        account_created: time(account.created_ms),
        verification: account.verification,
        payment_fingerprint: account.card.as_deref(),
        bin_class: account.card.as_ref().map(|_| account.bin_class),
        billing_country: account.billing,
        email_class: account.email_class,
        ip: &place.ip,
        country: place.country,
        asn: place.asn,
        network_class: place.kind.word(),
        device_fp: None,
        tls_fp: client.tls_fp,
        user_agent: client.user_agent,
        accept_language: client.on_device.then_some(account.country.language),
        call: None,
        status: 200,
    }
}

fn asked<'a>(call: &'a Call, draw: &mut Draw, planned: Planned, seed: u64, actor: &Actor) -> Called<'a> {
    let characters = call.prompt.chars().count() as i64;
    let system = call.system.as_deref().map_or(0, |s| s.chars().count() as i64);
    // What was said before in the same session is read again.
    let before = i64::from(planned.turn) * draw.between(200, 420);
    let output = call.output_tokens.max(0) * call.n.max(1);
    let reasoning = if call.model == THINKING { output * draw.between(80, 320) / 100 } else { 0 };
    let per_token = if call.model == LARGE { 16 } else { 11 };
    Called {
        session: Draw::of(seed, &actor.name, &[8, planned.day as u64, planned.session]).name("s_", 12),
        turn: planned.turn,
        model: call.model,
        model_released_at: call.released_ms.map(time),
        endpoint: "/v1/chat/completions",
        n: call.n,
        temperature: call.temperature,
        max_tokens: call.max_tokens,
        top_logprobs: call.top_logprobs,
        logit_bias_count: call.logit_bias,
        tools: call.tools,
        stream: call.stream,
        batch: call.batch,
        response_format: call.json.then_some("json_object"),
        input_tokens: (characters + system) / 4 + 9 + before,
        output_tokens: output,
        reasoning_tokens: reasoning,
        finish_reason: Some(if call.output_tokens >= call.max_tokens { "length" } else { "stop" }),
        refused: call.refused,
        rate_limited: false,
        latency_ms: 160 + (output + reasoning) * per_token * draw.between(70, 140) / 100,
        jailbreak_score: call.jailbreak,
        safety_category: call.safety.map(|(category, _)| category),
        safety_score: call.safety.map(|(_, score)| score),
        use_case: call.use_case,
        human_review: call.human_review,
        ai_disclosure: call.ai_disclosure,
        phi: call.phi,
        prompt_chars: characters,
        system_prompt: call.system.as_deref(),
        prompt: &call.prompt,
    }
}

fn answered(mut asked: Called<'_>, status: i64) -> Called<'_> {
    if status >= 400 {
        asked.output_tokens = 0;
        asked.reasoning_tokens = 0;
        asked.finish_reason = None;
        asked.latency_ms = asked.latency_ms.min(300);
        asked.rate_limited = status == 429;
    }
    asked
}

/// Whether events of an account with this label are told in `labels_events.csv`.
pub(super) fn is_told(label: Label) -> bool {
    matches!(label, Label::Adversary | Label::Victim)
}
