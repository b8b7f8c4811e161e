//! What `/v1/decide` costs beside a trivial JSON endpoint on the same stack, in one run on one machine: requests a second with
//! all connections busy, then latency at half of the trivial endpoint's rate. Both servers are processes of their own.
//!
//!     cargo bench --bench serve -- [--rules DIR] [--seconds N] [--connections N] [--accounts N]
//!
//! Latency is measured from the moment at which a request was due, where its connection was still busy then, and otherwise
//! from the moment it was sent: a server that stands still pays for all that waits.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a benchmark fails by panicking, and measures"
)]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Options {
    rules: String,
    seconds: u64,
    connections: u64,
    accounts: u64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|a| a == "--trivial") {
        return trivial();
    }
    // `cargo test --benches` builds and calls it; that is no measurement.
    if arguments.iter().any(|a| a == "--test") {
        return;
    }
    let of = |name: &str| arguments.iter().position(|a| a == name).and_then(|at| arguments.get(at + 1)).cloned();
    let number = |name: &str, usual: u64| of(name).map_or(usual, |n| n.parse().unwrap());
    let options = Options {
        rules: of("--rules").unwrap_or_else(|| "rules".to_string()),
        seconds: number("--seconds", 5),
        connections: number("--connections", 32),
        accounts: number("--accounts", 100_000),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(&options));
}

async fn measure(options: &Options) {
    let directory = tempfile::tempdir().unwrap();
    let mut trivial = Command::new(std::env::current_exe().unwrap());
    trivial.arg("--trivial");
    let mut decide = Command::new(env!("CARGO_BIN_EXE_fineprint"));
    decide.args(["serve", "--rules", &options.rules, "--listen", "127.0.0.1:0", "--format", "json", "--db"]);
    decide.arg(directory.path().join("log.db"));
    let (trivial, decide) = (Server::start(trivial), Server::start(decide));
    let ids = Arc::new(AtomicU64::new(0));
    // Each is warmed up first: connections, memory, guesses of branches.
    for (server, path) in [(&trivial, "/trivial"), (&decide, "/v1/decide")] {
        busy(server.address, path, &ids, options, Duration::from_secs(1)).await;
    }
    let span = Duration::from_secs(options.seconds);
    let (mut rates, mut latencies) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let both = [(&trivial, "/trivial"), (&decide, "/v1/decide")];
    // In turns, so that what else happens on the machine meets both.
    for _ in 0..3 {
        for (at, (server, path)) in both.iter().enumerate() {
            rates[at].push(busy(server.address, path, &ids, options, span).await);
        }
    }
    let median = |rates: &[f64]| {
        let mut sorted = rates.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    let (plain, decided) = (median(&rates[0]), median(&rates[1]));
    println!("requests a second, {} connections, median of 3 times {} s:", options.connections, options.seconds);
    println!("  trivial endpoint {plain:>9.0}");
    println!("  /v1/decide       {decided:>9.0}   {:.0} % (goal 70 %)", 100.0 * decided / plain);
    let half = plain / 2.0;
    for _ in 0..3 {
        for (at, (server, path)) in both.iter().enumerate() {
            latencies[at].extend(paced(server.address, path, &ids, options, half, span).await);
        }
    }
    println!("latency at {half:.0} requests a second:");
    let mut tail = Vec::new();
    for (name, all) in ["trivial endpoint", "/v1/decide"].iter().zip(&mut latencies) {
        all.sort_unstable();
        let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
        println!("  {name:<16} p50 {:>7.0} us   p99 {:>7.0} us   p99.9 {:>7.0} us", at(0.5), at(0.99), at(0.999));
        tail.push(at(0.99));
    }
    println!("  p99 {:.1} times that of the trivial endpoint (goal at most 2)", tail[1] / tail[0]);
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(mut command: Command) -> Server {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut json = || serde_json::from_str::<serde_json::Value>(&lines.next().unwrap().unwrap()).unwrap();
        let address = json()["http"].as_str().unwrap().parse().unwrap();
        assert_eq!(json()["event"], "ready");
        Server { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The same stack with nothing behind it: reads JSON, answers JSON of the size of a decision.
fn trivial() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let answer = || async {
            axum::Json(serde_json::json!({
                "decision": "allow", "would": "allow", "mode": "shadow", "status": 200, "reason": "", "rules": [],
                "violations": [], "actions": [], "retry_after_s": null,
            }))
        };
        let route = axum::routing::post(move |axum::Json(_): axum::Json<serde_json::Value>| answer());
        let router = axum::Router::new().route("/trivial", route);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{{\"http\":\"{}\"}}", listener.local_addr().unwrap());
        println!("{{\"event\":\"ready\"}}");
        axum::serve(axum::serve::ListenerExt::tap_io(listener, |s| s.set_nodelay(true).unwrap()), router)
            .await
            .unwrap();
    });
}

/// Requests a second, each connection asking as soon as it is answered.
async fn busy(address: SocketAddr, path: &str, ids: &Arc<AtomicU64>, options: &Options, span: Duration) -> f64 {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..options.connections)
        .map(|_| {
            let (mut asker, accounts) = (Asker::new(path, Arc::clone(ids)), options.accounts);
            tokio::spawn(async move {
                asker.connect(address).await;
                let mut n = 0u64;
                while begun.elapsed() < span {
                    asker.ask(accounts).await;
                    n += 1;
                }
                n
            })
        })
        .collect();
    let mut all = 0;
    for task in tasks {
        all += task.await.unwrap();
    }
    all as f64 / begun.elapsed().as_secs_f64()
}

/// Latencies at a rate.
async fn paced(
    address: SocketAddr,
    path: &str,
    ids: &Arc<AtomicU64>,
    options: &Options,
    rate: f64,
    span: Duration,
) -> Vec<Duration> {
    let begun = Instant::now() + Duration::from_millis(50);
    let every = Duration::from_secs_f64(options.connections as f64 / rate);
    let tasks: Vec<_> = (0..options.connections)
        .map(|number| {
            let (mut asker, accounts) = (Asker::new(path, Arc::clone(ids)), options.accounts);
            let first = begun + every.mul_f64(number as f64 / options.connections as f64);
            tokio::spawn(async move {
                asker.connect(address).await;
                let mut latencies = Vec::new();
                let mut due = first;
                while due < begun + span {
                    let late = Instant::now() > due;
                    tokio::time::sleep_until(due.into()).await;
                    // A timer that fires late is no fault of the server.
                    let from = if late { due } else { Instant::now() };
                    asker.ask(accounts).await;
                    latencies.push(from.elapsed());
                    due += every;
                }
                latencies
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all
}

/// One connection, and the bytes of its requests.
struct Asker {
    path: String,
    ids: Arc<AtomicU64>,
    stream: Option<TcpStream>,
    answer: Vec<u8>,
}

impl Asker {
    fn new(path: &str, ids: Arc<AtomicU64>) -> Asker {
        Asker { path: path.to_string(), ids, stream: None, answer: vec![0; 16 * 1024] }
    }

    async fn connect(&mut self, address: SocketAddr) {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        self.stream = Some(stream);
    }

    async fn ask(&mut self, accounts: u64) {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let ts = fineprint::time::Timestamp(i64::try_from(now.as_nanos()).unwrap());
        let body = format!(
            r#"{{"id":"bench-{id:012}","ts":"{ts}","type":"request","call":"call-{id:012}","source":"bench","provider":"openai","model":"gpt-5","endpoint":"/v1/chat/completions","org":"org-{:04}","account":"account-{:06}","api_key_id":"key-{:06}","ip":"192.0.2.{}","country":"DE","user_agent":"openai-python/2.1","max_tokens":1024,"temperature":0.7,"stream":true,"tools":2,"prompt_chars":1800}}"#,
            id % 1_000,
            id % accounts,
            id % accounts,
            id % 250,
        );
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.path,
            body.len()
        );
        let stream = self.stream.as_mut().unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut filled = 0;
        loop {
            let n = stream.read(&mut self.answer[filled..]).await.unwrap();
            assert!(n > 0, "the server hung up");
            filled += n;
            if is_whole(&self.answer[..filled]) {
                break;
            }
        }
        assert!(self.answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&self.answer[..filled]));
    }
}

/// Whether an answer is there to its end.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(head) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return false };
    let text = std::str::from_utf8(&bytes[..head]).unwrap().to_ascii_lowercase();
    let length = text.lines().find_map(|l| l.strip_prefix("content-length:")).map_or(0, |n| n.trim().parse().unwrap());
    bytes.len() >= head + 4 + length
}
