//! Faults of the world, real ones: a disk that is full, a place that cannot be written, a database that is not what it was.
//! Each is told with what to do and ends with 3; and once it is gone, nothing is missing.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{Bench, Called, events, lines};

/// Refused lines between good ones, so that the reject file has something to lose.
fn with_refused(n: u64) -> String {
    let broken = |(i, e): (usize, String)| if i % 9 == 4 { "no JSON".to_string() } else { e };
    lines(&events(n).into_iter().enumerate().map(broken).collect::<Vec<_>>())
}

/// Runs a shell script where it may mount file systems that nobody else sees. `None` where this machine gives no leave.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn in_own_mounts(bench: &Bench, script: &str) -> Option<Called> {
    let shell = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script]).current_dir(bench.path("."));
        command.env("FINEPRINT", env!("CARGO_BIN_EXE_fineprint")).env_remove("FINEPRINT_LOG").stdin(Stdio::null());
        command.output().ok().map(Called::from)
    };
    let may = shell("mkdir -p probe && mount -t tmpfs tmpfs probe && mount -o remount,size=8k probe");
    if may.as_ref().is_none_or(|called| called.code != 0) {
        eprintln!("skipped: no leave to mount here: {may:?}");
        return None;
    }
    shell(script)
}

/// The lines that `step NAME` printed before the exit code of a command.
fn codes(called: &Called) -> Vec<&str> {
    called.out.lines().filter(|l| l.contains(" exit ")).collect()
}

/// What an undisturbed run finds, and refuses.
fn undisturbed(bench: &Bench) -> (String, String) {
    bench.run("whole.db", "--rejects whole.rejects e.jsonl");
    (bench.export("whole.db"), std::fs::read_to_string(bench.path("whole.rejects")).unwrap())
}

/// Whatever the disk is too small for (the database, its write-ahead log, the journal), and however far the run got.
#[test]
fn a_full_disk_loses_nothing() {
    let bench = Bench::new();
    bench.write("e.jsonl", with_refused(12_000));
    let (export, rejects) = undisturbed(&bench);
    for size in ["64k", "300k", "500k", "800k"] {
        let script = format!(
            "mkdir -p disk && mount -t tmpfs -o size={size} tmpfs disk || exit 9
             $FINEPRINT run --rules rules --db disk/v.db --rejects r-{size} --commit-every 500 e.jsonl >/dev/null
             echo full exit $?
             mount -o remount,size=64m disk
             $FINEPRINT run --rules rules --db disk/v.db --rejects r-{size} --commit-every 500 e.jsonl >/dev/null
             echo freed exit $?
             $FINEPRINT violations export --db disk/v.db --format jsonl > x-{size}"
        );
        let Some(called) = in_own_mounts(&bench, &script) else { return };
        assert_eq!(codes(&called), ["full exit 3", "freed exit 1"], "{size}: {called:?}");
        // The database and the journal say it in their own words; which of them is first depends on the size of the state.
        let told = called.err.to_lowercase();
        assert!(told.contains("no space left") && told.contains(" again"), "{size}: {}", called.err);
        assert!(std::fs::read_to_string(bench.path(&format!("x-{size}"))).unwrap() == export, "{size}: another export");
        assert!(std::fs::read_to_string(bench.path(&format!("r-{size}"))).unwrap() == rejects, "{size}: other rejects");
    }
}

/// The journal and the reject file on disks of their own.
#[test]
fn a_full_disk_beside_the_database_loses_nothing() {
    let bench = Bench::new();
    bench.write("e.jsonl", with_refused(12_000));
    let (export, rejects) = undisturbed(&bench);
    for (disk, names) in [("v.db.journal", "segment-0000000001.fpj"), ("out", "reject file")] {
        let script = format!(
            "mkdir -p out {disk} && mount -t tmpfs -o size=64k tmpfs {disk} || exit 9
             $FINEPRINT run --rules rules --db v.db --rejects out/r --commit-every 500 e.jsonl >/dev/null
             echo full exit $?
             mount -o remount,size=64m {disk}
             $FINEPRINT run --rules rules --db v.db --rejects out/r --commit-every 500 e.jsonl >/dev/null
             echo freed exit $?
             $FINEPRINT violations export --db v.db --format jsonl > x
             cp out/r r; rm -rf v.db* out/r"
        );
        let Some(called) = in_own_mounts(&bench, &script) else { return };
        assert_eq!(codes(&called), ["full exit 3", "freed exit 1"], "{disk}: {called:?}");
        assert!(called.err.contains(names) && called.err.contains("free some space"), "{disk}: {}", called.err);
        assert!(std::fs::read_to_string(bench.path("x")).unwrap() == export, "{disk}: another export");
        assert!(std::fs::read_to_string(bench.path("r")).unwrap() == rejects, "{disk}: other rejects");
    }
}

/// Needs no leave: the shell's own bound on file sizes, in blocks.
#[cfg(unix)]
#[test]
fn a_bound_on_file_sizes_loses_nothing() {
    let bench = Bench::new();
    bench.write("e.jsonl", with_refused(12_000));
    let (export, rejects) = undisturbed(&bench);
    for blocks in [1, 60, 300, 700] {
        let flags = format!("run --rules rules --db v-{blocks}.db --rejects r-{blocks} --commit-every 500 e.jsonl");
        let script = format!("ulimit -f {blocks} && exec {} {flags}", env!("CARGO_BIN_EXE_fineprint"));
        let bounded = Command::new("sh").args(["-c", &script]).current_dir(bench.path(".")).output().unwrap();
        let bounded = Called::from(bounded);
        assert_eq!(bounded.code, 3, "{blocks}: {bounded:?}");
        assert!(bounded.err.contains("ulimit -f"), "{blocks}: {}", bounded.err);
        let freed = bench.call(&flags);
        assert_eq!(freed.code, 1, "{blocks}: {freed:?}");
        assert!(bench.export(&format!("v-{blocks}.db")) == export, "{blocks}: another export");
        assert!(std::fs::read_to_string(bench.path(&format!("r-{blocks}"))).unwrap() == rejects, "{blocks}: rejects");
    }
}

#[test]
fn an_export_to_a_full_disk_leaves_nothing_half() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(12_000)));
    bench.run("v.db", "e.jsonl");
    let script = "mkdir -p disk && mount -t tmpfs -o size=64k tmpfs disk || exit 9
         $FINEPRINT violations export --db v.db --out disk/x.jsonl; echo export exit $?
         ls disk; $FINEPRINT violations export --db v.db > /dev/full; echo printed exit $?";
    let Some(called) = in_own_mounts(&bench, script) else { return };
    assert_eq!(called.out, "export exit 3\nprinted exit 3\n", "{called:?}");
    assert_eq!(called.err.matches("help: free some space").count(), 2, "{}", called.err);
}

/// A log on a medium that cannot be written is read; a run is refused there, and changes nothing elsewhere.
#[test]
fn a_read_only_directory_is_read_and_never_written() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(1_500)));
    bench.run("v.db", "e.jsonl");
    let export = bench.export("v.db");
    let script = "mkdir ro && mv v.db v.db.journal ro/ && mount --bind ro ro || exit 9
         mount -o remount,ro,bind ro || exit 9
         for db in ro/v.db ro/new.db; do
             $FINEPRINT run --rules rules --db $db e.jsonl; echo $db exit $?
         done
         $FINEPRINT run --rules rules --db new.db --rejects ro/r e.jsonl; echo rejects exit $?
         ls new.db
         $FINEPRINT violations export --db ro/v.db > x; echo export exit $?
         $FINEPRINT rejects --db ro/v.db > /dev/null; echo refused exit $?
         umount ro && cp ro/v.db ro/open.db && cp ro/v.db ro/open.db-wal && mount --bind ro ro && mount -o remount,ro,bind ro
         $FINEPRINT violations stats --db ro/open.db; echo open exit $?";
    let Some(called) = in_own_mounts(&bench, script) else { return };
    let expected =
        ["ro/v.db exit 3", "ro/new.db exit 3", "rejects exit 3", "export exit 0", "refused exit 0", "open exit 3"];
    assert_eq!(codes(&called), expected, "{called:?}");
    for says in [
        "ro/v.db` cannot be written; make",
        "ro/new.db` cannot be written; make",
        "help: name a place",
        "-wal` to a directory",
    ] {
        assert!(called.err.contains(says), "{says}: {}", called.err);
    }
    assert_eq!(std::fs::read_to_string(bench.path("x")).unwrap(), export);
}

/// On a medium that cannot be written nothing is decided, and it is said.
#[test]
fn a_log_that_cannot_be_written_is_not_decided_on() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(1_500)));
    bench.run("v.db", "e.jsonl");
    let id = bench.export("v.db").split('"').nth(3).unwrap().to_string();
    let script = format!(
        "mkdir ro && mv v.db ro/ && mount --bind ro ro && mount -o remount,ro,bind ro || exit 9
         $FINEPRINT violations decide {id} --db ro/v.db --as test --by ann --reason x; echo decide exit $?
         $FINEPRINT violations list --db ro/v.db --decision test --format json"
    );
    let Some(called) = in_own_mounts(&bench, &script) else { return };
    assert_eq!(called.out, "decide exit 3\n[]\n", "{called:?}");
    assert!(called.err.contains("ro/v.db` cannot be written; make"), "{called:?}");
}

/// What is no usable log is refused by every command, told apart, and left byte for byte as it was.
#[test]
fn a_database_that_is_not_what_it_was_is_refused_and_left_alone() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(3_000)));
    bench.run("v.db", "e.jsonl");
    let good = std::fs::read(bench.path("v.db")).unwrap();
    let page = 4_096;
    let altered = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes
    };
    let foreign = altered(&|b| b[68..72].copy_from_slice(&77u32.to_be_bytes()));
    let cases: [(&str, Vec<u8>, &str); 6] = [
        (
            "no database",
            "events,of,some,kind\n".repeat(300).into_bytes(),
            "is not a SQLite database; it was left untouched",
        ),
        ("header overwritten", altered(&|b| b[..100].fill(0x5a)), "if it was a log and is damaged, restore a copy"),
        ("another application", foreign, "is a database of another program"),
        ("schema overwritten", altered(&|b| b[100..page].fill(0x5a)), "is damaged"),
        ("cut off", good[..good.len() / 2 / page * page + 100].to_vec(), "is damaged"),
        ("all behind the schema overwritten", altered(&|b| b[page..].fill(0x5a)), "is damaged"),
    ];
    for (what, bytes, says) in cases {
        let db = bench.write("bad.db", &bytes);
        let journal = copy_journal(&bench, "bad.db.journal");
        for command in ["run --rules rules --db bad.db e.jsonl", "violations export --db bad.db"] {
            let called = bench.call(command);
            assert_eq!(called.code, 3, "{what}: {called:?}");
            assert!(called.err.contains("bad.db") && called.err.contains(says), "{what}: {}", called.err);
            assert!(std::fs::read(&db).unwrap() == bytes, "{what}: it was changed by `{command}`");
        }
        assert!(std::fs::read(&journal).unwrap().len() > 1_000, "{what}: the journal was cut");
        for rest in ["bad.db", "bad.db-wal", "bad.db-shm"] {
            let _ = std::fs::remove_file(bench.path(rest));
        }
    }
}

/// A bit of a page that was turned is told, or lies where it says nothing; no command panics over it.
#[test]
fn a_turned_bit_is_told_or_says_nothing() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(3_000)));
    bench.run("v.db", "e.jsonl");
    let (good, export) = (std::fs::read(bench.path("v.db")).unwrap(), bench.export("v.db"));
    let mut words = String::from("verify --format json");
    let places: Vec<usize> = (0..60).map(|n| (n * 2_654_435_761 + 101) % good.len()).collect();
    for (n, at) in places.iter().enumerate() {
        let mut bytes = good.clone();
        bytes[*at] ^= 1 << (n % 8);
        bench.write(&format!("{n}.db"), bytes);
        words.push_str(&format!(" --db {n}.db"));
    }
    let called = bench.call(&words);
    assert!(matches!(called.code, 0 | 1 | 3) && !called.err.contains("panicked"), "{called:?}");
    let told: Vec<serde_json::Value> = called.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(told.len(), places.len(), "{called:?}");
    let mut found = 0;
    for (n, told) in told.iter().enumerate() {
        if told["holds"] == true {
            assert_eq!(bench.export(&format!("{n}.db")), export, "byte {}", places[n]);
        } else {
            found += 1;
            let why = format!("{}{}", told["problems"], told["error"]);
            assert!(why.len() > 20, "{told}");
        }
    }
    assert!(found >= 20, "{found} of {} were found", places.len());
}

#[test]
fn a_log_of_an_earlier_release_is_brought_up_to_date_by_a_run_alone() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(1_500)));
    bench.run("v.db", "e.jsonl");
    let export = bench.export("v.db");
    execute(&bench.path("v.db"), crate::store::AS_BEFORE_SEALED_DECISIONS);
    let read = bench.call("violations list --db v.db");
    assert!(read.code == 3 && read.err.contains("open it once for writing (`run --db`)"), "{read:?}");
    bench.run("v.db", "e.jsonl");
    assert_eq!(bench.export("v.db"), export);
    assert_eq!(bench.call("verify --db v.db").code, 0);
}

/// The journal of `v.db` beside another database; returns its first segment.
fn copy_journal(bench: &Bench, to: &str) -> std::path::PathBuf {
    let _ = std::fs::create_dir(bench.path(to));
    let segment = Path::new("segment-0000000001.fpj");
    let copy = bench.path(to).join(segment);
    std::fs::copy(bench.path("v.db.journal").join(segment), &copy).unwrap();
    copy
}

#[test]
fn a_log_of_a_later_release_is_refused() {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(&events(1_500)));
    bench.run("v.db", "e.jsonl");
    let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
               VALUES (99, 'x', 1, x'00', 0)";
    execute(&bench.path("v.db"), sql);
    for command in ["run --rules rules --db v.db e.jsonl", "violations list --db v.db"] {
        let called = bench.call(command);
        assert_eq!(called.code, 3, "{called:?}");
        assert!(called.err.contains("has schema 99") && called.err.contains("use the release"), "{}", called.err);
    }
    execute(&bench.path("v.db"), "DELETE FROM _sqlx_migrations WHERE version = 99");
    assert!(!bench.export("v.db").is_empty());
}

fn execute(db: &Path, sql: &'static str) {
    use sqlx::Connection;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(db);
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let mut conn = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    });
}
