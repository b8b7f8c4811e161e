//! A log that is locked, a disk that is full: decisions go on, it is told, and it heals by itself.
#![allow(clippy::print_stderr, reason = "a test that is left out says so")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sqlx::Connection;

use super::log::decide;
use super::server::{Options, RULES, Server, wait_for};

const OFTEN: &str = "stream: {lateness: 0s, commit_time: 50ms, save_gate: 1s}\n";

fn session(server: &Server) -> Value {
    server.get("/readyz").json()["details"]["session"].clone()
}

/// Every call is in the books, and each once.
fn counts_all(server: Server, calls: u64) {
    let (summary, _directory) = server.stop();
    assert_eq!(summary["balanced"], true, "{summary}");
    let n = |name: &str| summary["books"][name].as_u64().unwrap_or(0);
    assert_eq!(n("received") - n("duplicate"), calls, "{summary}");
}

#[test]
fn while_the_log_is_locked_decisions_go_on_and_it_is_told() {
    let server = Server::start(&Options { config: OFTEN, ..Options::default() });
    assert_eq!(decide(&server, "b1", "mallory", r#""max_tokens":0"#)["decision"], "block");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(server.path("log.db"));
    let mut other = runtime.block_on(sqlx::SqliteConnection::connect_with(&options)).unwrap();
    wait_for("the lock", || runtime.block_on(sqlx::query("BEGIN IMMEDIATE").execute(&mut other)).ok());
    let mut n = 0;
    wait_for("a commit that could not be made", || {
        n += 1;
        assert_eq!(decide(&server, &format!("a{n}"), "alice", "")["decision"], "allow");
        (session(&server)["commits_failed"].as_u64().unwrap() > 0).then_some(())
    });
    assert!(session(&server)["last_error"].is_string());
    assert!(server.metric("fineprint_commits_failed") >= 1.0);
    assert_eq!(server.get("/readyz").status, 200, "the journal takes everything in");
    runtime.block_on(sqlx::query("ROLLBACK").execute(&mut other)).unwrap();
    runtime.block_on(other.close()).unwrap();
    wait_for("it heals", || (session(&server)["last_error"] == Value::Null).then_some(()));
    counts_all(server, n + 1);
}

/// A small file system in memory.
struct Mounted(PathBuf);

impl Mounted {
    /// `None` where none can be mounted, which is printed.
    fn over(directory: &Path) -> Option<Mounted> {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=32m", "tmpfs"]).arg(directory).output();
        match mount {
            Ok(mount) if mount.status.success() => Some(Mounted(directory.to_owned())),
            Ok(mount) => {
                eprintln!("left out, only root mounts: {}", String::from_utf8_lossy(&mount.stderr));
                None
            }
            Err(e) => {
                eprintln!("left out, there is no `mount`: {e}");
                None
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn while_the_disk_is_full_decisions_go_on_and_nothing_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let Some(_mounted) = Mounted::over(directory.path()) else { return };
    std::fs::create_dir(directory.path().join("rules")).unwrap();
    std::fs::write(directory.path().join("rules/acme.tos"), RULES).unwrap();
    std::fs::write(directory.path().join("serve.yaml"), OFTEN).unwrap();
    let server = Server::over(directory);
    decide(&server, "b1", "mallory", r#""max_tokens":0"#);
    let filler = server.path("filler");
    let mut size = 1 << 20;
    let mut file = std::fs::File::create(&filler).unwrap();
    while size > 0 {
        if std::io::Write::write_all(&mut file, &vec![0; size]).is_err() {
            size /= 16;
        }
    }
    let mut n = 0;
    wait_for("it is told", || {
        n += 1;
        assert_eq!(decide(&server, &format!("a{n}"), "alice", "")["decision"], "allow", "{n}");
        (server.get("/readyz").status == 503).then_some(())
    });
    let told = session(&server);
    assert!(told["last_error"].is_string(), "{told}");
    // What nobody promised to keep is still kept, for as long as there is room.
    for _ in 0..50 {
        n += 1;
        assert_eq!(decide(&server, &format!("a{n}"), "bob", "")["decision"], "allow");
    }
    assert_eq!(server.post("/v1/events", &super::server::event("i1", "carol", "")).status, 503, "it cannot be kept");
    std::fs::remove_file(&filler).unwrap();
    drop(file);
    wait_for("it heals", || {
        let healed = server.get("/readyz").status == 200 && session(&server)["last_error"] == Value::Null;
        healed.then_some(())
    });
    counts_all(server, n + 1);
}
