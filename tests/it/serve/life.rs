//! Start, drain, and ends that nobody planned.

use std::time::Duration;

use super::client::{Connection, request};
use super::server::{Options, Server, event, wait_for};

#[test]
fn asked_to_end_it_finishes_what_has_come_and_takes_in_no_more() {
    let server = Server::start(&Options::default());
    let body = event("last", "a", "");
    let whole = request("POST", "/v1/decide", &[("content-type", "application/json")], body.as_bytes());
    let mut under_way = server.connect();
    let mut idle = server.connect();
    assert_eq!(idle.call("GET", "/healthz", &[], b"").status, 200);
    let (first, rest) = whole.split_at(whole.len() - 10);
    under_way.send(first);
    std::thread::sleep(Duration::from_millis(100));
    server.signal("TERM");
    assert!(idle.answer().is_none(), "an idle connection is closed");
    wait_for("the port is closed", || std::net::TcpStream::connect(server.address).is_err().then_some(()));
    under_way.send(rest);
    assert_eq!(under_way.answer().expect("the request under way is answered").status, 200);
    let (status, said, _directory) = server.end();
    assert!(status.success());
    let said = said.unwrap();
    assert_eq!((&said["event"], &said["drained"]), (&"ended".into(), &true.into()));
}

#[test]
fn whoever_does_not_end_in_time_is_cut_off() {
    let server = Server::start(&Options { config: "limits: {drain_time: 200ms}", ..Options::default() });
    let mut dawdles: Connection = server.connect();
    dawdles.send(b"POST /v1/decide HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{");
    std::thread::sleep(Duration::from_millis(100));
    let (said, _directory) = server.stop();
    assert_eq!(said["drained"], false);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let server = Server::start(&Options { config: "limits: {drain_delay: 60s}", ..Options::default() });
    server.signal("TERM");
    wait_for("it tells that it ends", || (server.get("/readyz").status == 503).then_some(()));
    assert_eq!(server.post("/v1/decide", &event("e", "a", "")).status, 200, "it answers as long as it is asked");
    server.signal("TERM");
    let (status, _, _directory) = server.end();
    assert_eq!(status.code(), Some(130));
}

#[test]
fn two_servers_do_not_share_a_log() {
    let server = Server::start(&Options::default());
    let refused = super::server::command(server.directory.path()).output().unwrap();
    assert_eq!(refused.status.code(), Some(3));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("log.db"), "{said}");
}
