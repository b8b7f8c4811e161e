//! What is left of events when short windows have passed, and by which numbers.

use super::{CHUNK, Events, Held};

const SECONDS: usize = 5 * CHUNK + 100;

fn id(i: usize) -> String {
    format!("event-{i}")
}

/// One event a second; every seventh, and none of the second chunk, is kept for an hour, the others for a minute.
fn play(settled: &[i64]) -> Events {
    let mut events = Events::default();
    events.reach(vec![60, 3_600]);
    let long = |i: usize| i.is_multiple_of(7) && i / CHUNK != 1;
    for i in 0..SECONDS {
        let held = Held { ts: i as i64, content: i as u128, account: i as u64, id: &id(i) };
        assert_eq!(events.push(held, usize::MAX), i as u64);
        events.keep(u8::from(long(i)));
        if settled.contains(&(i as i64)) {
            events.settle(i as i64);
        }
    }
    events.settle(SECONDS as i64);
    events
}

fn left(events: &Events) -> Vec<usize> {
    (0..SECONDS).filter(|i| events.get(*i as u64).is_some()).collect()
}

#[test]
fn what_only_short_windows_counted_goes_and_the_others_keep_their_numbers() {
    let events = play(&[]);
    for i in 0..SECONDS {
        let Some(held) = events.get(i as u64) else { continue };
        assert_eq!((held.ts, held.content, held.account, held.id), (i as i64, i as u128, i as u64, id(i).as_str()));
    }
    let left = left(&events);
    // Whatever some window still reaches is there.
    assert!((SECONDS - 60..SECONDS).all(|i| left.contains(&i)));
    assert!((SECONDS - 3_600..SECONDS).filter(|i| i % 7 == 0 && i / CHUNK != 1).all(|i| left.contains(&i)));
    // Of the chunks that short windows have passed, nothing else is.
    let passed = left.iter().filter(|i| **i < 4 * CHUNK);
    assert!(passed.clone().count() > 0 && passed.clone().all(|i| i % 7 == 0), "{left:?}");
    assert_eq!(left.iter().filter(|i| **i / CHUNK == 1).count(), 0);
}

#[test]
fn when_it_goes_does_not_show() {
    let (at_once, in_parts) = (play(&[]), play(&[70, 1_200, 1_201, 3_000, 5_000]));
    assert_eq!(left(&at_once), left(&in_parts));
    let bytes = postcard::to_stdvec(&in_parts).unwrap();
    assert_eq!(bytes, postcard::to_stdvec(&at_once).unwrap());
    let mut read: Events = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(left(&read), left(&at_once));
    read.reach(vec![60, 3_600]);
    read.settle(SECONDS as i64);
    assert_eq!(left(&read), left(&at_once));
}

#[test]
fn a_time_parts_what_is_left() {
    let events = play(&[]);
    let left = left(&events);
    for ts in 0..SECONDS {
        let number = events.number_at(ts as i64) as usize;
        let next = left.iter().find(|i| **i >= ts).copied().unwrap_or(SECONDS);
        assert!(number >= ts && number <= next, "at {ts}: {number}, the next is {next}");
    }
}

#[test]
fn nothing_of_a_chunk_may_be_left() {
    let mut events = play(&[]);
    events.settle(SECONDS as i64 + 4_000);
    assert!((0..5 * CHUNK).all(|i| events.get(i as u64).is_none()));
    assert!(events.get(5 * CHUNK as u64).is_some(), "the last chunk is not full");
    assert!((0..5 * CHUNK).all(|ts| (ts as u64..=5 * CHUNK as u64).contains(&events.number_at(ts as i64))));
    events.forget_before(SECONDS as i64 + 4_000);
    assert_eq!(events.first(), 5 * CHUNK as u64);
}
