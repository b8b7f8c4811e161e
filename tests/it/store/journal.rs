//! The journal of projections: what was synced is what is read, whatever happened to the rest.

use std::fs;
use std::path::{Path, PathBuf};

use fineprint::journal::{
    Journal, JournalError, JournalOptions, NullJournal, Position, ProjectionSink, RECORD_BYTES_MAX, read,
};
use fineprint::time::{Duration, Timestamp};
use proptest::prelude::*;

/// Segments so small that a few frames fill one.
const SMALL: JournalOptions = JournalOptions { level: 1, segment_bytes: 600 };

fn fresh() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("log.db.journal");
    (dir, journal)
}

fn open(dir: &Path, at: &Position) -> Journal {
    Journal::open(dir, SMALL, at).unwrap()
}

/// A record that does not compress, so that few of them fill a segment.
fn record(n: u64) -> Vec<u8> {
    let mut x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let noise = (0..n % 90).map(|_| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x as u8
    });
    n.to_le_bytes().into_iter().chain(noise).collect()
}

fn append(journal: &mut Journal, records: std::ops::Range<u64>) {
    records.for_each(|n| journal.append(Timestamp(n as i64), &record(n)).unwrap());
}

fn sync(journal: &mut Journal) -> Position {
    journal.sync().unwrap().unwrap()
}

/// What a journal holds up to a position, as the numbers of its records.
fn numbers(dir: &Path, until: Option<&Position>) -> Result<Vec<u64>, JournalError> {
    read(dir, until)?
        .map(|p| {
            let p = p?;
            let n = p.ts.0 as u64;
            assert_eq!(p.record, record(n));
            Ok(n)
        })
        .collect()
}

/// A journal of several segments, synced after each five records.
fn several_segments(dir: &Path) -> (Journal, Position) {
    let mut journal = open(dir, &Position::START);
    let mut position = Position::START;
    for n in 0..20 {
        append(&mut journal, n * 5..(n + 1) * 5);
        position = sync(&mut journal);
    }
    assert!(journal.segments().len() > 4, "{:?}", journal.segments());
    (journal, position)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn what_was_synced_is_read_back() {
    let (_dir, path) = fresh();
    let (journal, position) = several_segments(&path);
    assert_eq!(position.n_records, 100);
    for until in [None, Some(&position)] {
        assert_eq!(numbers(&path, until).unwrap(), (0..100).collect::<Vec<_>>());
    }
    let index = journal.segments().to_vec();
    drop(journal);
    assert_eq!(open(&path, &position).segments(), index);
    assert_eq!(index.iter().map(|s| s.n_records).sum::<u64>(), 100);
    assert!(index.windows(2).all(|w| w[0].ts_max < w[1].ts_min && w[0].hash.is_some()));
}

#[test]
fn a_position_survives_as_text() {
    let (_dir, path) = fresh();
    let (_journal, position) = several_segments(&path);
    assert_eq!(position.to_string().parse(), Ok(position));
    for text in ["", "1:2:3", "1:2:3:ab", "-1:2:3:0", "1:2:3:é"] {
        assert!(text.parse::<Position>().is_err(), "{text}");
    }
}

#[test]
fn an_empty_journal_syncs_and_is_read() {
    let (_dir, path) = fresh();
    let mut journal = open(&path, &Position::START);
    assert_eq!(sync(&mut journal), Position::START);
    assert!(numbers(&path, Some(&Position::START)).unwrap().is_empty());
    assert_eq!(NullJournal.sync().unwrap(), None);
}

#[test]
fn a_record_above_the_bound_is_refused_alone() {
    let (_dir, path) = fresh();
    let mut journal = open(&path, &Position::START);
    let refused = journal.append(Timestamp(0), &vec![0; RECORD_BYTES_MAX + 1]);
    assert!(matches!(refused, Err(JournalError::RecordTooLarge { .. })));
    journal.append(Timestamp(0), &vec![7; RECORD_BYTES_MAX]).unwrap();
    journal.append(Timestamp(0), &[]).unwrap();
    sync(&mut journal);
    let lengths: Vec<usize> = read(&path, None).unwrap().map(|p| p.unwrap().record.len()).collect();
    assert_eq!(lengths, [RECORD_BYTES_MAX, 0]);
}

#[test]
fn many_frames_pass_through_the_queue() {
    let (_dir, path) = fresh();
    let mut journal = Journal::open(&path, JournalOptions::default(), &Position::START).unwrap();
    let big = vec![b'x'; 60_000];
    for n in 0..400 {
        journal.append(Timestamp(n), &big).unwrap();
    }
    assert_eq!(sync(&mut journal).n_records, 400);
    assert_eq!(read(&path, None).unwrap().filter(|p| p.as_ref().unwrap().record == big).count(), 400);
}

/// A kill leaves the file at any length past the last sync, with or without a further segment.
#[test]
fn opening_at_a_position_drops_what_came_after() {
    let (_dir, path) = fresh();
    let (mut journal, position) = several_segments(&path);
    append(&mut journal, 100..104);
    sync(&mut journal);
    append(&mut journal, 104..130);
    sync(&mut journal);
    drop(journal);
    let left: Vec<_> = files(&path).into_iter().map(|f| (fs::read(&f).unwrap(), f)).collect();
    let segment = position.segment as usize - 1;
    assert!(left.len() > segment + 1, "no further segment was begun");
    let (bytes, file) = &left[segment];
    let restore = || {
        for (bytes, file) in &left {
            fs::write(file, bytes).unwrap();
        }
    };
    let expected: Vec<u64> = (0..100).collect();
    for cut in position.offset_bytes as usize..=bytes.len() {
        restore();
        fs::write(file, &bytes[..cut]).unwrap();
        let mut journal = open(&path, &position);
        assert_eq!(numbers(&path, None).unwrap(), expected, "cut at {cut}");
        if cut % 16 != 0 {
            continue;
        }
        append(&mut journal, 100..101);
        let next = sync(&mut journal);
        drop(journal);
        assert_eq!(numbers(&path, Some(&next)).unwrap().len(), 101, "cut at {cut}");
    }
    let (last, last_file) = &left[segment + 1];
    for cut in 0..=last.len() {
        restore();
        fs::write(last_file, &last[..cut]).unwrap();
        open(&path, &position);
        assert_eq!(numbers(&path, None).unwrap(), expected, "next segment cut at {cut}");
    }
    restore();
    open(&path, &Position::START);
    assert!(files(&path).is_empty());
}

#[test]
fn a_journal_that_ends_before_its_position_is_lost_and_left_alone() {
    let (_dir, path) = fresh();
    let (journal, position) = several_segments(&path);
    drop(journal);
    let all = files(&path);
    let last = all.last().unwrap();
    let bytes = fs::read(last).unwrap();
    fs::write(last, &bytes[..bytes.len() - 1]).unwrap();
    let error = Journal::open(&path, SMALL, &position).unwrap_err();
    assert!(matches!(error, JournalError::Lost { .. }), "{error}");
    assert!(error.to_string().contains(&format!("segment {}, byte {}", position.segment, position.offset_bytes)));
    fs::remove_file(last).unwrap();
    assert!(matches!(Journal::open(&path, SMALL, &position), Err(JournalError::Lost { .. })));
    assert!(matches!(read(&path, Some(&position)), Err(JournalError::Lost { .. })));
    assert_eq!(files(&path).len(), all.len() - 1);
}

#[test]
fn any_flipped_byte_is_found_and_named() {
    let (_dir, path) = fresh();
    let (journal, position) = several_segments(&path);
    drop(journal);
    for file in files(&path) {
        let bytes = fs::read(&file).unwrap();
        for i in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[i] ^= 0x10;
            fs::write(&file, &altered).unwrap();
            let error = numbers(&path, Some(&position)).expect_err("must be found");
            let JournalError::Damaged { path: named, offset, .. } = &error else { panic!("{error}") };
            assert_eq!(named, &file, "byte {i}: {error}");
            assert!(*offset <= i as u64, "byte {i}: {error}");
        }
        fs::write(&file, &bytes).unwrap();
    }
    numbers(&path, Some(&position)).unwrap();
}

/// Whoever rewrites a segment with good checksums breaks the chain; whoever rewrites the whole chain misses the position.
#[test]
fn a_rewritten_segment_is_found() {
    let (_dir, path) = fresh();
    let (journal, position) = several_segments(&path);
    drop(journal);
    let (_other, forged) = fresh();
    let mut journal = open(&forged, &Position::START);
    for n in 0..20 {
        append(&mut journal, n * 5 + 1..(n + 1) * 5 + 1);
        sync(&mut journal);
    }
    drop(journal);
    let (ours, theirs) = (files(&path), files(&forged));
    fs::copy(&theirs[1], &ours[1]).unwrap();
    let error = read(&path, Some(&position)).unwrap().find_map(Result::err).unwrap();
    assert!(error.to_string().contains("does not follow the segment before it"), "{error}");
    for file in &ours {
        fs::copy(forged.join(file.file_name().unwrap()), file).unwrap();
    }
    assert!(read(&path, Some(&position)).is_err() || read(&path, Some(&position)).unwrap().any(|p| p.is_err()));
    assert!(Journal::open(&path, SMALL, &position).is_err());
}

#[test]
fn a_missing_segment_is_named() {
    let (_dir, path) = fresh();
    let (journal, _) = several_segments(&path);
    drop(journal);
    fs::remove_file(&files(&path)[1]).unwrap();
    let error = read(&path, None).unwrap_err();
    assert!(error.to_string().contains("segment-0000000003.fpj"), "{error}");
}

#[test]
fn retention_drops_whole_old_segments_and_never_the_committed_one() {
    let (_dir, path) = fresh();
    let (mut journal, position) = several_segments(&path);
    let index = journal.segments().to_vec();
    assert_eq!(journal.drop_before(Timestamp(40), Duration(40), &position).unwrap(), 0);
    let watermark = Timestamp(index[1].ts_max.0 + 11);
    assert_eq!(journal.drop_before(watermark, Duration(10), &position).unwrap(), 2);
    assert_eq!(journal.segments(), &index[2..]);
    let first = index[2].ts_min.0 as u64;
    assert_eq!(numbers(&path, Some(&position)).unwrap(), (first..100).collect::<Vec<_>>());
    // A log that has committed an older position is led back to it.
    let older = Position { segment: index[3].segment, ..position };
    assert_eq!(journal.drop_before(Timestamp::MAX, Duration(0), &older).unwrap(), 1);
    assert_eq!(journal.drop_before(Timestamp::MAX, Duration(0), &position).unwrap(), index.len() - 4);
    append(&mut journal, 100..120);
    let position = sync(&mut journal);
    assert_eq!(position.n_records, 120);
    drop(journal);
    let journal = open(&path, &position);
    assert_eq!(numbers(&path, Some(&position)).unwrap().last(), Some(&119));
    assert_eq!(journal.segments()[0].segment, index.last().unwrap().segment);
}

#[test]
fn an_error_of_the_thread_comes_out_at_the_next_call() {
    let (_dir, path) = fresh();
    let mut journal = open(&path, &Position::START);
    append(&mut journal, 0..20);
    sync(&mut journal);
    fs::remove_dir_all(&path).unwrap();
    let error =
        (20..2_000u64).find_map(|n| journal.append(Timestamp(0), &record(n)).and_then(|()| journal.sync()).err());
    assert!(error.unwrap().to_string().starts_with("cannot"));
    assert!(matches!(journal.append(Timestamp(0), b"x"), Err(JournalError::Stopped)));
    assert!(matches!(journal.sync(), Err(JournalError::Stopped)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Random runs, each going on from the last sync of the one before and losing what came after it.
    #[test]
    fn runs_go_on_from_the_last_sync(runs in prop::collection::vec(prop::collection::vec((0u64..25, any::<bool>()), 0..8), 1..6)) {
        let (_dir, path) = fresh();
        let (mut position, mut kept) = (Position::START, 0);
        for run in runs {
            let mut journal = open(&path, &position);
            let mut n = kept;
            for (more, synced) in run {
                append(&mut journal, n..n + more);
                n += more;
                if synced {
                    (position, kept) = (sync(&mut journal), n);
                }
            }
        }
        prop_assert_eq!(position.n_records, kept);
        prop_assert_eq!(numbers(&path, Some(&position)).unwrap(), (0..kept).collect::<Vec<_>>());
    }
}
