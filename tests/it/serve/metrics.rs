//! Metrics in the form that collectors read, with labels of which there are few.

use std::collections::{BTreeMap, BTreeSet};

use super::log::AT_ONCE;
use super::server::{Options, Server, event};

#[test]
fn metrics_are_well_formed_and_no_text_of_an_event_is_among_them() {
    let server = Server::start(&Options { config: AT_ONCE, ..Options::default() });
    for n in 0..20 {
        let body = event(&format!("id-marker-{n}"), &format!("account-marker-{n}"), r#""model":"model-marker""#);
        server.post("/v1/decide", &body);
        server.get(&format!("/v1/path-marker-{n}"));
    }
    let answer = server.get("/metrics");
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(!answer.body.contains("marker"), "{}", answer.body);
    assert!(answer.body.ends_with("# EOF\n"));
    let (mut types, mut series) = (BTreeMap::new(), BTreeSet::new());
    for line in answer.body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(types.insert(name.to_string(), kind.to_string()).is_none(), "{name} twice");
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap();
            assert!(series.insert(name.to_string()), "{name} twice");
            let family = name.split('{').next().unwrap();
            let known = ["", "_total", "_sum", "_count", "_bucket"].iter();
            let mut known = known.filter_map(|end| family.strip_suffix(end)).filter(|f| types.contains_key(*f));
            assert!(known.next().is_some(), "{family} has no type");
        }
    }
    assert!(series.len() < 1_000, "{} series", series.len());
    assert_eq!(server.metric(r#"fineprint_requests_total{route="/v1/decide",status="200"}"#), 20.0);
    assert_eq!(server.metric(r#"fineprint_decisions_total{decision="allow",would="allow"}"#), 20.0);
    assert_eq!(server.metric("fineprint_ready"), 1.0);
    assert_eq!(server.metric("fineprint_decide_seconds_count"), 20.0);
}
