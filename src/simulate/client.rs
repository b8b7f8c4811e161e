//! The programs that call: what they name themselves, and the fingerprint of their TLS stack. A fingerprint belongs to a
//! library or browser in its version, so thousands of strangers have the same.

use super::draw::Draw;

/// A program as a gateway sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Client {
    /// How it names itself.
    pub(super) user_agent: &'static str,
    /// The fingerprint of its TLS stack.
    pub(super) tls_fp: &'static str,
    /// Whether it runs on the device of a person, which then has a fingerprint too.
    pub(super) on_device: bool,
}

const fn device(user_agent: &'static str, tls_fp: &'static str) -> Client {
    Client { user_agent, tls_fp, on_device: true }
}

const fn server(user_agent: &'static str, tls_fp: &'static str) -> Client {
    Client { user_agent, tls_fp, on_device: false }
}

/// Browsers, each with its share.
pub(super) const BROWSERS: [(Client, f64); 8] = [
    (
        device(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/141.0.0.0 Safari/537.36",
            "t13d1516h2_c141w",
        ),
        34.0,
    ),
    (
        device(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 Chrome/141.0.0.0 Safari/537.36",
            "t13d1516h2_c141m",
        ),
        12.0,
    ),
    (
        device(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/19.1 Safari/605.1.15",
            "t13d2014h2_s191m",
        ),
        11.0,
    ),
    (
        device(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1",
            "t13d2014h2_s191i",
        ),
        16.0,
    ),
    (
        device(
            "Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Chrome/140.0.0.0 Mobile Safari/537.36",
            "t13d1516h2_c140a",
        ),
        13.0,
    ),
    (
        device("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0", "t13d1717h2_f143w"),
        7.0,
    ),
    (device("Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0", "t13d1717h2_f143x"), 4.0),
    (
        device(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0.0.0 Edg/140.0",
            "t13d1516h2_e140w",
        ),
        3.0,
    ),
];

/// Libraries that back-ends use, each with its share.
pub(super) const LIBRARIES: [(Client, f64); 10] = [
    (server("meridian-python/2.4.1", "t13d1812h1_py24"), 24.0),
    (server("meridian-python/2.3.0", "t13d1812h1_py24"), 10.0),
    (server("meridian-node/3.11.0", "t13d1714h2_nd31"), 20.0),
    (server("meridian-java/1.9.2", "t13d1011h2_jv19"), 9.0),
    (server("meridian-go/0.14.0", "t13d1310h2_go14"), 8.0),
    (server("python-httpx/0.29.0", "t13d1812h1_py24"), 9.0),
    (server("axios/1.9.0", "t13d1714h2_nd31"), 8.0),
    (server("okhttp/5.1.0", "t13d1613h2_ok51"), 6.0),
    (server("Go-http-client/2.0", "t13d1310h2_go14"), 4.0),
    (server("reqwest/0.13", "t13d1109h2_rq13"), 2.0),
];

/// Assistants in editors.
pub(super) const EDITORS: [Client; 4] = [
    device("codepilot-plugin/1.104 (editor 1.104)", "t13d1714h2_nd33"),
    device("codepilot-plugin/2026.2 (ide 2026.2)", "t13d1011h2_jv21"),
    device("meridian-cli/0.42.1", "t13d1310h2_go15"),
    device("terminal-agent/1.8.0", "t13d1109h2_rq13"),
];

/// Programs by which access is handed on.
pub(super) const RELAYS: [Client; 7] = [
    server("keypool/0.9.4", "t13d1310h2_go14"),
    server("open-relay-ui/3.2", "t13d1714h2_nd31"),
    server("chat-front/5.0.1", "t13d1714h2_nd33"),
    server("roleplay-desk/1.13", "t13d1714h2_nd31"),
    server("one-api/0.6.11", "t13d1310h2_go14"),
    server("freegate/2.1", "t13d1812h1_py24"),
    server("pocket-llm/0.3 (android)", "t13d1613h2_ok51"),
];

/// The harness of a public benchmark.
pub(super) const HARNESS: Client = server("bench-harness/0.8.3", "t13d1812h1_py24");
/// A gateway that companies run before all their programs.
pub(super) const GATEWAY: Client = server("company-gateway/4.2", "t13d1109h2_rq12");
/// The telephone app of the provider.
pub(super) const APP: Client = device("Meridian/6.3 CFNetwork/3826 Darwin/25.1", "t13d2014h2_ap63");
/// A library with a TLS stack of its own, as a campaign might build.
pub(super) const CUSTOM: Client = server("python-requests/2.33.0", "t13d0907h1_px77");

/// A browser by its share.
pub(super) fn browser(draw: &mut Draw) -> Client {
    by_share(&BROWSERS, draw)
}

/// A library by its share.
pub(super) fn library(draw: &mut Draw) -> Client {
    by_share(&LIBRARIES, draw)
}

fn by_share(from: &[(Client, f64)], draw: &mut Draw) -> Client {
    let at = draw.weighted(from.iter().map(|(_, share)| *share));
    from.get(at).map_or_else(Client::default, |(client, _)| *client)
}
