//! Sessions by hand. The gap is 60 s, the step 5 s, a session is at most 100 s long unless told.

use fineprint::event::FieldId;
use fineprint::hir::{Aggregate, Compare, Function, Rule, Shape, Windowed};
use fineprint::time::{Duration, SECOND_NS, Timestamp};

use super::cases::{Case, Event, by_account, calls, cases, count, excepting, file, of};
use crate::plain::build::*;

fn session(of: Aggregate, op: Compare, bound: i64) -> Rule {
    lasting(100, of, op, bound)
}

fn lasting(most: i64, of: Aggregate, op: Compare, bound: i64) -> Rule {
    let aggregates = vec![of];
    let value = result(&aggregates, 0);
    let when = compare(op, value.clone(), num(value.ty, bound));
    let [length, step, gap] = [most, 5, 60].map(Duration::from_secs);
    let per = by_account();
    let shape = Windowed { per, link: None, only: Vec::new(), length, step, gap: Some(gap), aggregates, when };
    Rule { shape: Shape::Windowed(shape), ..rule("many", None) }
}

fn many(n: i64) -> Rule {
    session(count(), Compare::GreaterEqual, n)
}

/// What happens long after, to someone else.
fn later(mut events: Vec<Event>) -> Vec<Event> {
    events.push(of("zoe", 1_000, vec![]));
    events
}

cases! {
    a_session_is_over_when_its_last_event_is_further_back_than_the_gap:
        file(vec![many(3)], later(calls(&[0, 10, 20])), &["many closed 25..80, 85 account:ann count=3/3/3 #3"]);

    a_silence_of_the_gap_goes_on:
        file(vec![many(2)], later(calls(&[0, 60])), &["many closed 65..120, 125 account:ann count=2/2/2 #2"]);

    a_longer_silence_begins_another:
        file(vec![many(2)], later(calls(&[0, 61, 122])), &[]);

    an_event_at_the_bound_begins_another:
        file(vec![many(3)], later(calls(&[0, 50, 99, 100])), &["many closed 100..100, 105 account:ann count=3/3/3 #3"]);

    sessions_of_a_group_are_found_each_by_itself:
        file(vec![many(2)], later(calls(&[0, 1, 200, 201, 202])), &[
            "many closed 5..60, 65 account:ann count=2/2/2 #2",
            "many closed 205..260, 265 account:ann count=3/3/3 #3",
        ]);

    /// The window of a record begins with the session.
    a_window_begins_with_the_first_event:
        file(vec![many(2)], later(calls(&[7, 11, 30])), &["many closed 15..90, 95 account:ann count=2/3/3 #3"])
            .also(|result| {
                let window = |s: i64| Timestamp(s * SECOND_NS);
                assert_eq!(result.violations[0].window, Some((window(7), window(15))));
            });

    exceptions_do_not_cut_a_session: {
        let limited = |seconds| of("ann", seconds, vec![(FieldId::STATUS, fineprint::event::Slot::Num(429))]);
        let exception = except(is(FieldId::STATUS, Compare::Equal, 429));
        let mut events = calls(&[0, 90]);
        events.insert(1, limited(45));
        file(vec![excepting(many(2), exception)], later(events), &[
            "many exempted 50..90, 95 account:ann count=2/2/2 #2",
            "many closed 95..150, 155 account:ann count=2/2/2 #2",
        ])
    };

    what_an_exception_took_out_is_forgotten_with_the_session: {
        let limited = |seconds| of("ann", seconds, vec![(FieldId::STATUS, fineprint::event::Slot::Num(429))]);
        let exception = except(is(FieldId::STATUS, Compare::Equal, 429));
        let events = vec![limited(0), limited(1), calls(&[200]).remove(0), limited(300)];
        file(vec![excepting(many(2), exception)], later(events), &["many exempted 5..60, 65 account:ann count=2/2/2 #2"])
    };

    the_pace_of_a_session_slows_as_it_falls_silent: {
        // Two events in 20 s are six a minute, in 60 s two.
        let rate = session(aggregate(Function::Rate, None), Compare::GreaterEqual, 6_000_000);
        file(vec![rate], later(calls(&[0, 15])), &[
            "many closed 5..10, 15 account:ann rate=12000000/12000000/6000000 #1",
            "many closed 20..20, 25 account:ann rate=6000000/6000000/6000000 #2",
        ])
    };

    the_pace_of_a_moment_is_that_of_a_step: {
        let rate = session(aggregate(Function::Rate, None), Compare::GreaterEqual, 24_000_000);
        file(vec![rate], later(calls(&[3, 4])), &["many closed 5..5, 10 account:ann rate=24000000/24000000/24000000 #2"])
    };

    silence_counts_from_the_first_event_to_the_end_of_a_step: {
        let idle = session(aggregate(Function::LongestIdle, None), Compare::Greater, 30 * SECOND_NS);
        file(vec![idle], later(calls(&[0, 2, 22])), &[
            "many closed 55..80, 85 account:ann longest_idle=33000000000/58000000000/58000000000 #3",
        ])
    };
}
