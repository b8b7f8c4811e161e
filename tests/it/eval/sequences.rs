//! Named cases of sequences by hand, as those in `cases.rs`.

use fineprint::event::{FieldId, Kind, Slot, UsageEvent};
use fineprint::hir::{Compare, Exception, Expr, PARTIALS_PER_KEY_MAX, Piece, Rule, Sequence, Shape, Step};
use fineprint::time::{Duration, SECOND_NS};

use super::cases::{Case, Event, by_account, calls, cases, cooldown, excepting, file, later, of};
use super::fast;
use crate::plain::Arrival;
use crate::plain::build::*;
use crate::plain::steps::of_step;

fn step(filter: Option<Expr>) -> Step {
    Step { absent: false, kinds: vec![Kind::Completion], filter, within: None, times: 1 }
}

fn no(filter: Option<Expr>) -> Step {
    Step { absent: true, ..step(filter) }
}

fn within(seconds: i64, step: Step) -> Step {
    Step { within: Some(Duration::from_secs(seconds)), ..step }
}

fn times(times: u32, step: Step) -> Step {
    Step { times, ..step }
}

fn status(n: i64) -> Expr {
    is(FieldId::STATUS, Compare::Equal, n)
}

/// `on sequence per account within … { … }`
fn sequence(seconds: i64, steps: Vec<Step>) -> Rule {
    tied(by_account(), seconds, steps)
}

fn tied(per: Vec<Expr>, seconds: i64, steps: Vec<Step>) -> Rule {
    Rule { shape: Shape::Sequence(Sequence { per, within: Duration::from_secs(seconds), steps }), ..rule("seq", None) }
}

/// A completion of `ann` with a status.
fn at_status(seconds: i64, n: i64) -> Event {
    of("ann", seconds, vec![(FieldId::STATUS, Slot::Num(n))])
}

/// Completions of `ann` with a status, in order of arrival.
fn statuses(all: &[(i64, i64)]) -> Vec<Event> {
    all.iter().map(|(seconds, n)| at_status(*seconds, *n)).collect()
}

/// A blocked call and one that succeeds, each once.
fn retry() -> Vec<Step> {
    vec![step(Some(status(403))), step(Some(status(200)))]
}

/// From one TLS fingerprint.
fn from(fp: &str, account: &str, seconds: i64, n: i64) -> Event {
    of(account, seconds, vec![(FieldId::TLS_FP, word(fp)), (FieldId::STATUS, Slot::Num(n))])
}

fn ticket(account: Option<&str>, seconds: i64) -> Event {
    let mut event = UsageEvent::new(Kind::Action, format!("ticket-{seconds}"), at(seconds));
    event.set(FieldId::TLS_FP, word("f"));
    if let Some(account) = account {
        event.set(FieldId::ACCOUNT, word(account));
    }
    sealed(event)
}

/// After a block another account goes on, and nobody opens a ticket for it.
fn failover() -> Rule {
    let other = compare(Compare::NotEqual, field(FieldId::ACCOUNT), of_step(0, field(FieldId::ACCOUNT)));
    let its = compare(Compare::Equal, field(FieldId::ACCOUNT), of_step(1, field(FieldId::ACCOUNT)));
    let steps = vec![
        step(Some(status(403))),
        step(Some(other)),
        within(60, Step { kinds: vec![Kind::Action], ..no(Some(its)) }),
    ];
    let because =
        vec![Piece::Value("by".into(), of_step(1, field(FieldId::ACCOUNT))), Piece::Text(" took over".into())];
    Rule { kinds: vec![Kind::Completion, Kind::Action], because, ..tied(vec![field(FieldId::TLS_FP)], 60, steps) }
}

fn blocked_then_other() -> Vec<Event> {
    vec![from("f", "ann", 0, 403), from("g", "eve", 5, 200), from("f", "ann", 10, 200), from("f", "bob", 20, 200)]
}

fn advanced(mut case: Case, seconds: i64) -> Case {
    *case.arrivals.last_mut().unwrap() = Arrival::Advance(at(seconds));
    case
}

/// A first step as often as this, a second apart.
fn firsts(n: i64) -> Vec<(i64, i64)> {
    (0..n).map(|i| (i, 403)).collect()
}

cases! {
    // ── order and time ──

    steps_in_their_order:
        file(vec![sequence(60, retry())], later(300, statuses(&[(0, 403), (30, 200)])), &["seq closed 30..30, 90 account:ann matches=1/1/1 #2"]);
    steps_in_another_order_are_none:
        file(vec![sequence(60, retry())], later(300, statuses(&[(0, 200), (30, 403)])), &[]);
    /// Taken by event time: delivered as 20, 0, 90, 40, the events are those of 0, 20, 40, 90.
    order_of_arrival_does_not_matter: {
        let steps = vec![step(Some(status(403))), step(Some(status(429))), step(Some(status(200)))];
        file(vec![sequence(60, steps)], statuses(&[(20, 429), (0, 403), (90, 200), (40, 200)]), &["seq open 40..40 account:ann matches=1/1/1 #3"])
            .lateness(2_000)
    };
    /// Events of one moment stand in the order of their ids.
    one_moment_is_ordered_by_id: {
        let of = |id: &str, n| completion(id, 5, vec![(FieldId::ACCOUNT, word("ann")), (FieldId::STATUS, Slot::Num(n))]);
        file(vec![sequence(60, retry())], vec![of("a", 403), of("c", 403), of("b", 200)], &["seq open 5..5 account:ann matches=1/1/1 #2"])
    };
    /// The last moment of the whole is in time, the moment after is not.
    the_whole_is_in_time_up_to_its_end: {
        let mut late = at_status(60, 200);
        late.set(FieldId::TS, Slot::Num(60 * SECOND_NS + 1));
        let mut events = vec![at_status(0, 403), sealed(late)];
        events.extend([from("f", "bob", 0, 403), from("f", "bob", 60, 200)]);
        file(vec![sequence(60, retry())], events, &["seq open 60..60 account:bob matches=1/1/1 #2"])
    };
    a_step_is_in_time_after_the_one_before: {
        let steps = vec![step(Some(status(403))), step(Some(status(429))), within(10, step(Some(status(200))))];
        let events = [(0, 403), (30, 429), (41, 200), (100, 403), (130, 429), (140, 200)];
        file(vec![sequence(60, steps)], statuses(&events), &["seq open 140..140 account:ann matches=1/1/1 #3"])
    };
    /// A file whose last event makes it whole shows it, as windows do not.
    the_last_event_of_a_file_counts:
        file(vec![sequence(60, retry())], statuses(&[(0, 403), (30, 200)]), &["seq open 30..30 account:ann matches=1/1/1 #2"]);
    /// What is told at the end of a file is not told again when the file goes on.
    a_file_goes_on_after_a_whole_sequence: {
        let mut case = file(vec![sequence(60, retry())], statuses(&[(0, 403), (30, 200), (100, 403), (130, 200)]), &[
            "seq closed 30..30, 90 account:ann matches=1/1/1 #2",
            "seq open 130..130 account:ann matches=1/1/1 #2",
        ]);
        case.arrivals.insert(2, Arrival::Finish);
        case
    };
    /// Nor does an event count twice that waited at the end.
    a_file_goes_on_after_a_first_step: {
        let mut case = file(vec![sequence(60, vec![step(None), step(None)])], calls(&[0, 30]), &["seq open 30..30 account:ann matches=1/1/1 #2"]);
        case.arrivals.insert(1, Arrival::Finish);
        case
    };
    late_events_are_no_steps:
        file(vec![sequence(60, retry())], statuses(&[(30, 200), (100, 200), (0, 403)]), &[]).lateness(10);
    copies_are_no_steps: {
        let steps = vec![step(Some(status(403))), times(2, step(Some(status(200))))];
        file(vec![sequence(60, steps)], statuses(&[(0, 403), (30, 200), (30, 200)]), &[])
    };

    // ── steps ──

    /// The first event of a step is taken; a second retry is none of the match.
    each_step_takes_the_earliest_event:
        file(vec![sequence(60, retry())], statuses(&[(0, 403), (30, 200), (40, 200)]), &["seq open 30..30 account:ann matches=1/1/1 #2"])
            .also(|r| assert_eq!(r.violations[0].evidence.events.iter().map(|e| e.ts).collect::<Vec<_>>(), [at(0), at(30)]));
    /// Other events between the steps do not matter.
    other_events_may_lie_between:
        file(vec![sequence(60, retry())], statuses(&[(0, 403), (10, 500), (20, 429), (30, 200)]), &["seq open 30..30 account:ann matches=1/1/1 #2"]);
    /// Three times within 20 seconds of the step before.
    a_step_repeats: {
        let steps = vec![step(Some(status(403))), within(20, times(3, step(Some(status(200)))))];
        let events = [(0, 403), (5, 200), (10, 200), (21, 200), (100, 403), (105, 200), (110, 200), (120, 200)];
        file(vec![sequence(60, steps)], statuses(&events), &["seq open 120..120 account:ann matches=1/1/1 #4"])
    };
    /// Of a repeated step its last event has the name.
    a_repeated_step_is_its_last_event: {
        let same = compare(Compare::Equal, field(FieldId::N), of_step(1, field(FieldId::N)));
        let steps = vec![step(Some(status(403))), times(2, step(Some(status(200)))), step(Some(same))];
        let n = |seconds, s, n| of("ann", seconds, vec![(FieldId::STATUS, Slot::Num(s)), (FieldId::N, Slot::Num(n))]);
        let events = vec![n(0, 403, 0), n(1, 200, 1), n(2, 200, 2), n(3, 429, 1), n(4, 429, 2)];
        file(vec![sequence(60, steps)], events, &["seq open 4..4 account:ann matches=1/1/1 #4"])
    };
    /// One event is not two steps of one match, but it may be the second of one and the first of another.
    an_event_may_be_part_of_several_matches:
        file(vec![sequence(60, vec![step(None), step(None)])], calls(&[0, 10, 20]), &["seq open 10..20 account:ann matches=1/2/2 #3"]);

    // ── across steps, across accounts ──

    failover_after_block:
        advanced(file(vec![failover()], blocked_then_other(), &["seq open 80..80 tls_fp:f matches=1/1/1 #2"]), 81)
            .also(|r| {
                let v = &r.violations[0];
                assert_eq!(v.because, "bob took over");
                assert_eq!(v.accounts, ["ann", "bob"]);
            });
    values_of_steps_are_recorded: {
        let tokens = |seconds, s, n| of("ann", seconds, vec![(FieldId::STATUS, Slot::Num(s)), (FieldId::OUTPUT_TOKENS, Slot::Num(n))]);
        let mut rule = sequence(60, retry());
        rule.lets = vec![("drawn".into(), of_step(1, field(FieldId::OUTPUT_TOKENS)))];
        let events = vec![tokens(0, 403, 1), tokens(10, 200, 5), tokens(20, 403, 1), tokens(30, 200, 9), tokens(40, 403, 1), tokens(50, 200, 2)];
        file(vec![rule], events, &["seq open 10..50 account:ann matches=1/3/3 drawn=5/9/2 #6"])
    };
    /// A missing field of either event leaves it unknown whether they differ.
    unknown_is_no_step: {
        let other = compare(Compare::NotEqual, field(FieldId::ORG), of_step(0, field(FieldId::ORG)));
        let org = |seconds, s, org: Option<&str>| {
            let mut fields = vec![(FieldId::STATUS, Slot::Num(s))];
            fields.extend(org.map(|o| (FieldId::ORG, word(o))));
            of("ann", seconds, fields)
        };
        let events = vec![org(0, 403, Some("a")), org(1, 200, None), org(100, 403, None), org(101, 200, Some("a"))];
        file(vec![sequence(60, vec![step(Some(status(403))), step(Some(other))])], events, &[])
    };

    // ── absence ──

    /// The time of the absence has not passed with the file, and its end does not make it pass.
    absence_does_not_fire_at_the_end_of_a_file:
        file(vec![failover()], blocked_then_other(), &[]);
    /// At the deadline itself a ticket would still be in time.
    absence_does_not_fire_at_its_deadline:
        advanced(file(vec![failover()], blocked_then_other(), &[]), 80);
    absence_fires_when_events_go_on:
        file(vec![failover()], later(81, blocked_then_other()), &["seq open 80..80 tls_fp:f matches=1/1/1 #2"]);
    absence_is_ended_by_the_event: {
        let mut events = blocked_then_other();
        events.push(ticket(Some("bob"), 80));
        advanced(file(vec![failover()], events, &[]), 500)
    };
    absence_is_not_ended_by_another_event: {
        let mut events = blocked_then_other();
        events.extend([ticket(Some("ann"), 70), ticket(Some("bob"), 81)]);
        advanced(file(vec![failover()], events, &["seq closed 80..80, 140 tls_fp:f matches=1/1/1 #2"]), 500)
    };
    /// Whether the ticket is the one that would excuse it is unknown, so it is not certain that there was none.
    absence_must_be_certain: {
        let mut events = blocked_then_other();
        events.push(ticket(None, 70));
        advanced(file(vec![failover()], events, &[]), 500)
    };
    /// Without a time of its own, until the time of the whole is over.
    absence_without_a_time_lasts_as_long_as_the_whole: {
        let rule = || sequence(60, vec![step(Some(status(403))), no(Some(status(200)))]);
        let events = statuses(&[(0, 403), (61, 200), (200, 403), (260, 200)]);
        advanced(file(vec![rule()], events, &["seq closed 60..60, 120 account:ann matches=1/1/1 #1"]), 1_000)
    };
    absence_between_two_steps: {
        let steps = vec![step(Some(status(403))), no(Some(status(429))), step(Some(status(200)))];
        let events = [(0, 403), (10, 429), (20, 200), (100, 403), (120, 200), (121, 429)];
        file(vec![sequence(60, steps)], statuses(&events), &["seq open 120..120 account:ann matches=1/1/1 #2"])
    };
    /// With a time of its own it is forbidden for that long.
    absence_between_two_steps_for_some_time: {
        let steps = vec![step(Some(status(403))), within(5, no(Some(status(429)))), step(Some(status(200)))];
        let events = [(0, 403), (5, 429), (20, 200), (100, 403), (106, 429), (120, 200)];
        file(vec![sequence(60, steps)], statuses(&events), &["seq open 120..120 account:ann matches=1/1/1 #2"])
    };
    /// What is forbidden is not at the same time the next step.
    the_forbidden_event_goes_first: {
        let steps = vec![step(Some(status(403))), no(None), step(Some(status(200)))];
        file(vec![sequence(60, steps)], statuses(&[(0, 403), (20, 200)]), &[])
    };

    // ── violations ──

    /// A match within the time of the whole after the last belongs to the violation, one after that does not.
    matches_that_follow_closely_are_one_violation:
        file(vec![sequence(60, retry())], later(400, statuses(&[(0, 403), (10, 200), (69, 403), (70, 200), (130, 403), (131, 200)])), &[
            "seq closed 10..70, 130 account:ann matches=1/2/2 #4",
            "seq closed 131..131, 191 account:ann matches=1/1/1 #2",
        ]);
    a_cooldown_longer_than_the_sequence_counts:
        file(vec![cooldown(100, sequence(60, retry()))], later(400, statuses(&[(0, 403), (10, 200), (109, 403), (110, 200)])), &[
            "seq closed 10..110, 210 account:ann matches=1/2/2 #4",
        ]);
    /// Three blocked calls and one success are three matches of four events, whole at one moment.
    matches_of_one_moment_are_all_at_the_crossing:
        file(vec![sequence(60, retry())], statuses(&[(0, 403), (1, 403), (2, 403), (3, 200)]), &["seq open 3..3 account:ann matches=3/3/3 #4"]);
    /// A later match may rest on an earlier event: the evidence is in order all the same.
    evidence_is_in_order_of_time: {
        let other = compare(Compare::Equal, field(FieldId::N), of_step(0, field(FieldId::N)));
        let n = |seconds, s, n| of("ann", seconds, vec![(FieldId::STATUS, Slot::Num(s)), (FieldId::N, Slot::Num(n))]);
        let steps = vec![step(Some(status(403))), step(Some(and(vec![status(200), other])))];
        let events = vec![n(0, 403, 0), n(1, 403, 1), n(2, 200, 1), n(3, 200, 0)];
        file(vec![sequence(60, steps)], events, &["seq open 2..3 account:ann matches=1/2/2 #4"])
            .also(|r| assert_eq!(r.violations[0].evidence.events.iter().map(|e| e.ts).collect::<Vec<_>>(), [at(0), at(1), at(2), at(3)]))
    };

    // ── exceptions ──

    an_excepted_step_is_recorded_as_exempted:
        file(
            vec![excepting(sequence(60, retry()), except(status(200)))],
            later(300, statuses(&[(0, 403), (30, 200)])),
            &["seq exempted 30..30, 90 account:ann matches=1/1/1 #2"],
        )
        .also(|r| assert_eq!(r.violations[0].exceptions[0].took_out, 1));
    /// Without the licensed call there is still another: both are told.
    an_exception_takes_out_events_not_keys: {
        let mut licensed = at_status(10, 200);
        licensed.set(FieldId::PLAN, word("lab"));
        let events = vec![at_status(0, 403), sealed(licensed), at_status(20, 200)];
        file(vec![excepting(sequence(60, retry()), except(equals(FieldId::PLAN, "lab")))], events, &[
            "seq exempted 10..10 account:ann matches=1/1/1 #2",
            "seq open 20..20 account:ann matches=1/1/1 #2",
        ])
    };
    /// An excepted event does not take part: not as what must not happen either.
    an_excepted_event_ends_no_absence: {
        let steps = vec![step(Some(status(403))), no(Some(status(429))), step(Some(status(200)))];
        let exception = Exception { from: Some(at(5)), until: Some(at(15)), ..except(status(429)) };
        file(vec![excepting(sequence(60, steps), exception)], statuses(&[(0, 403), (10, 429), (20, 200)]), &[
            "seq open 20..20 account:ann matches=1/1/1 #2",
        ])
    };

    // ── bounds ──

    partial_matches_up_to_the_bound_are_kept:
        file(vec![sequence(600, retry())], statuses(&[&firsts(PARTIALS_PER_KEY_MAX as i64)[..], &[(100, 200)]].concat()), &[
            "seq open 100..100 account:ann matches=64/64/64 #65",
        ])
        .also(|r| assert!(r.violations[0].values[0].estimates.is_empty()));
    /// Above it the oldest goes, and the record says so; it is no longer said once all had gone.
    above_the_bound_the_oldest_is_dropped_and_told: {
        let events = [&firsts(PARTIALS_PER_KEY_MAX as i64 + 2)[..], &[(100, 200), (2_000, 403), (2_001, 200)]].concat();
        file(vec![sequence(600, retry())], statuses(&events), &[
            "seq closed 100..100, 700 account:ann matches=64/64/64 partial_matches_dropped=2/2/2 #65",
            "seq open 2001..2001 account:ann matches=1/1/1 #2",
        ])
        .also(|r| {
            assert!(!r.violations[0].values[0].estimates.is_empty());
            assert_eq!(r.violations[0].evidence.events[0].ts, at(2));
        })
    };
    /// Excepted events take no room from the others.
    excepted_events_push_nothing_out: {
        let mut events = statuses(&firsts(PARTIALS_PER_KEY_MAX as i64));
        events.extend((70..80).map(|t| at_status(t, 429)));
        events.push(at_status(100, 200));
        let first = or(vec![status(403), status(429)]);
        let rule = excepting(sequence(600, vec![step(Some(first)), step(Some(status(200)))]), except(status(429)));
        file(vec![rule], events, &[
            "seq open 100..100 account:ann matches=64/64/64 #65",
            "seq exempted 100..100 account:ann matches=10/10/10 partial_matches_dropped=10/10/10 #11",
        ])
    };
}

/// Texts that partial matches and violations rest on outlive the sweep of those that nothing uses any more.
#[test]
fn texts_of_partial_matches_are_kept() {
    // The sweep begins at 100,000 texts; each of these events brings two of its own.
    let fillers = (0..60_000).map(|i| from(&format!("fp-{i}"), &format!("account-{i}"), 100 + i, 200));
    let because = vec![Piece::Value("model".into(), of_step(0, field(FieldId::MODEL)))];
    let rule = Rule { because, ..tied(vec![field(FieldId::TLS_FP)], 80_000, retry()) };
    let of_model = |mut event: Event, model: &str| {
        event.set(FieldId::MODEL, word(model));
        sealed(event)
    };
    let whole = [
        of_model(from("g", "eve", 0, 403), "first model"),
        from("g", "eve", 1, 200),
        of_model(from("f", "ann", 2, 403), "second model"),
    ];
    let events = whole.into_iter().chain(fillers).chain([from("f", "bob", 70_000, 200)]).collect();
    let case = file(
        vec![rule],
        events,
        &["seq open 1..1 tls_fp:g matches=1/1/1 #2", "seq open 70000..70000 tls_fp:f matches=1/1/1 #2"],
    );
    let result = fast(&case.judge(), &case.arrivals, |_, e, _| e);
    case.check(&result);
    let told: Vec<_> = result.violations.iter().map(|v| (v.because.as_str(), v.accounts.clone())).collect();
    assert_eq!(
        told,
        [("first model", vec!["eve".to_string()]), ("second model", vec!["ann".to_string(), "bob".to_string()])]
    );
}
