use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use fineprint::bundle::{self, Level, TOTAL_BYTES_MAX};
use fineprint::seal::Verifier;
use serde_json::{Value, json};

use super::{Bench, events, lines};

/// A log with decisions, of which one is hostile, and its key.
fn found(events: &[String]) -> (Bench, Verifier) {
    let bench = Bench::new();
    bench.write("e.jsonl", lines(events));
    bench.run("v.db", "e.jsonl");
    let ids = ids(&bench);
    let mut decide = bench.command("violations decide --db v.db --as confirmed --by Rita.Reviewer");
    let decided = decide.arg(&ids[0]).arg("--reason").arg(HOSTILE).output().unwrap();
    assert!(decided.status.success(), "{decided:?}");
    let key = bench.call("log key --db v.db").out.trim().parse().unwrap();
    (bench, key)
}

fn ids(bench: &Bench) -> Vec<String> {
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_string();
    bench.export("v.db").lines().map(id).collect()
}

fn export(bench: &Bench, words: &str) -> Vec<u8> {
    let called = bench.call(&format!("violations export --db v.db --bundle c.zip {words}"));
    assert_eq!(called.code, 0, "{words}: {called:?}");
    std::fs::read(bench.path("c.zip")).unwrap()
}

/// A member of a zip, as it lies there.
#[derive(Clone)]
struct Member {
    name: Vec<u8>,
    method: u16,
    crc: u32,
    size: u32,
    packed: Vec<u8>,
}

fn le32(zip: &[u8], at: usize) -> usize {
    u32::from_le_bytes(zip[at..at + 4].try_into().unwrap()) as usize
}

fn le16(zip: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes(zip[at..at + 2].try_into().unwrap()))
}

/// Members with where they begin, their contents begin, their entries of the directory begin.
fn members(zip: &[u8]) -> Vec<(Member, [usize; 3])> {
    let (mut at, mut place, mut found) = (0, le32(zip, zip.len() - 6), Vec::new());
    for _ in 0..le16(zip, zip.len() - 12) {
        let (packed, chars) = (le32(zip, place + 20), le16(zip, place + 28));
        let begin = at + 30 + chars;
        let member = Member {
            name: zip[place + 46..place + 46 + chars].to_vec(),
            method: le16(zip, place + 10) as u16,
            crc: le32(zip, place + 16) as u32,
            size: le32(zip, place + 24) as u32,
            packed: zip[begin..begin + packed].to_vec(),
        };
        found.push((member, [at, begin, place]));
        (at, place) = (begin + packed, place + 46 + chars);
    }
    found
}

/// The zip of members, in the form of a bundle.
fn zip(members: &[Member]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for m in members {
        let mut common = Vec::new();
        [20, 0, m.method, 0, 0x21].iter().for_each(|n: &u16| common.extend(n.to_le_bytes()));
        [m.crc, m.packed.len() as u32, m.size].iter().for_each(|n| common.extend(n.to_le_bytes()));
        common.extend((m.name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        directory.extend(
            [b"PK\x01\x02\x14\x00".as_slice(), &common, &[0; 10], &(out.len() as u32).to_le_bytes(), &m.name].concat(),
        );
        out.extend([b"PK\x03\x04".as_slice(), &common, &m.name, &m.packed].concat());
    }
    let n = (members.len() as u16).to_le_bytes();
    let (size, offset) = ((directory.len() as u32).to_le_bytes(), (out.len() as u32).to_le_bytes());
    [out, directory, b"PK\x05\x06\0\0\0\0".to_vec(), n.to_vec(), n.to_vec(), size.to_vec(), offset.to_vec(), vec![0, 0]]
        .concat()
}

fn content(member: &Member) -> Vec<u8> {
    use std::io::Read as _;
    let mut out = Vec::new();
    match member.method {
        0 => out.clone_from(&member.packed),
        _ => {
            flate2::read::DeflateDecoder::new(member.packed.as_slice()).read_to_end(&mut out).unwrap();
        }
    }
    out
}

fn files(zip: &[u8]) -> BTreeMap<String, String> {
    let named =
        |(m, _): &(Member, _)| (String::from_utf8(m.name.clone()).unwrap(), String::from_utf8(content(m)).unwrap());
    members(zip).iter().map(named).collect()
}

fn problems(zip: &[u8], key: &Verifier) -> BTreeSet<String> {
    bundle::verify(zip, Some(key), &[]).problems.into_iter().map(|p| p.what).collect()
}

#[test]
fn a_bundle_is_valid_and_each_altered_byte_is_named() {
    let (bench, key) = found(&events(600));
    let made = export(&bench, "--level internal --rules rules --limit 12");
    assert_eq!(made, export(&bench, "--level internal --rules rules --limit 12"), "the same call, the same bytes");
    let report = bundle::verify(&made, Some(&key), &[]);
    assert!(report.holds(), "{:?}", report.problems);
    // Violations, a decision, the proposals, a rule set and the key.
    assert!(report.proved >= 15 && report.rules == 12 && report.attested == 0, "{report:?}");
    let all = members(&made);
    assert_eq!(zip(&all.iter().map(|(m, _)| m.clone()).collect::<Vec<_>>()), made, "the helper of these tests");

    let mut altered = made.clone();
    let mut flip = |at: usize, bit: u8, name: &str| {
        altered[at] ^= 1 << bit;
        let told = problems(&altered, &key);
        assert!(told.contains(name) || told.contains("the zip"), "byte {at} of {name}: {told:?}");
        altered[at] ^= 1 << bit;
        told
    };
    for (n, (member, [begin, content, entry])) in all.iter().enumerate() {
        let name = String::from_utf8(member.name.clone()).unwrap();
        let end = content + member.packed.len();
        // All bytes of the headers of one file, some of the others'.
        let step = if n == 1 { 1 } else { 9 };
        for at in (*begin..*content).step_by(step).chain((*entry..entry + 46 + name.len()).step_by(step)) {
            flip(at, (at % 8) as u8, &name);
        }
        let within = (0..6).map(|k| content + member.packed.len() * k / 6).chain([end.saturating_sub(1)]);
        for at in within.filter(|at| (*content..end).contains(at)) {
            for bit in [0, 7] {
                let told = flip(at, bit, &name);
                assert!(told.contains(&name), "byte {at} within {name}: {told:?}");
            }
        }
    }
    for at in made.len() - 22..made.len() {
        assert!(flip(at, (at % 8) as u8, "the zip").contains("the zip"));
    }
}

#[test]
fn the_structure_of_the_zip_is_that_of_a_bundle_alone() {
    let (bench, key) = found(&events(300));
    let made = export(&bench, "--limit 3");
    let all: Vec<Member> = members(&made).into_iter().map(|(m, _)| m).collect();
    let named = |name: &str| Member { name: name.as_bytes().to_vec(), ..all[1].clone() };
    let with = |more: Member| zip(&[all.as_slice(), &[more]].concat());
    let at = |name: &str| all.iter().position(|m| m.name == name.as_bytes()).unwrap();
    let but = |name: &str| {
        let mut rest = all.clone();
        rest.remove(at(name));
        zip(&rest)
    };
    let swapped = |i: usize, j: usize| {
        let mut other = all.clone();
        other.swap(i, j);
        zip(&other)
    };
    // Ten gigabytes of nothing, as the headers tell it, and as the deflated bytes do.
    let bomb = Member { size: (TOTAL_BYTES_MAX + 1) as u32, ..named("bomb") };
    let mut liar = all.clone();
    liar[at("violations.jsonl")].packed = all[at("case.html")].packed.clone();
    let mut stored = all.clone();
    let page = content(&all[at("case.html")]);
    stored[at("case.html")] = Member { method: 0, packed: page, ..all[at("case.html")].clone() };
    let mut cut = made.clone();
    cut.truncate(made.len() / 2);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("a file twice", with(named("case.html")), "case.html"),
        ("another file", with(named("more.txt")), "more.txt"),
        ("a path that leads out", with(named("../../etc/passwd")), "the zip"),
        ("an absolute path", with(named("/etc/passwd")), "the zip"),
        ("a name of dots", with(named("rules/..")), "the zip"),
        ("a bomb", with(bomb), "bomb"),
        ("a file that is longer than it says", zip(&liar), "violations.jsonl"),
        ("the same content, stored", zip(&stored), "case.html"),
        ("no manifest", but("MANIFEST"), "MANIFEST"),
        ("no checkpoint", but("checkpoint"), "checkpoint"),
        ("no decisions", but("decisions.jsonl"), "decisions.jsonl"),
        ("another order", swapped(1, 2), "the zip"),
        ("the manifest not first", swapped(0, 1), "MANIFEST"),
        ("something before it", [b"MZ".as_slice(), &made].concat(), "the zip"),
        ("something behind it", [made.as_slice(), b"\0"].concat(), "the zip"),
        ("half of it", cut, "the zip"),
        ("nothing", Vec::new(), "the zip"),
        ("text", b"this is no zip, and longer than twenty-two bytes".to_vec(), "the zip"),
    ];
    for (what, bytes, name) in cases {
        let told = problems(&bytes, &key);
        assert!(told.contains(name), "{what}: {told:?}");
    }
}

/// Files of a bundle that a holder of the log's key would sign, though they are not what the log holds.
#[test]
fn what_the_signer_alters_is_found_by_the_tree() {
    let (bench, key) = found(&events(300));
    let made = export(&bench, "--limit 4");
    let secret = std::fs::read_to_string(bench.path("v.db.key")).unwrap();
    let signer = fineprint::seal::Signer::from_secret(&secret).unwrap();
    let signed_again = |alter: &dyn Fn(&str, String) -> String| {
        let mut out = Vec::new();
        let mut manifest = String::new();
        for (m, _) in members(&made) {
            let name = String::from_utf8(m.name.clone()).unwrap();
            let text = String::from_utf8(content(&m)).unwrap();
            if name == "MANIFEST" {
                manifest = text;
                continue;
            }
            let packed = alter(&name, text).into_bytes();
            let mut crc = flate2::Crc::new();
            crc.update(&packed);
            out.push(Member { method: 0, crc: crc.sum(), size: packed.len() as u32, packed, ..m });
        }
        let hex = |bytes: &[u8]| -> String {
            use sha2::Digest as _;
            sha2::Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
        };
        let head: Vec<&str> =
            manifest.split("\n\n").next().unwrap().lines().filter(|l| !l.starts_with("file ")).collect();
        let mut text = head.join("\n") + "\n";
        for m in &out {
            let hash = hex(&m.packed);
            text += &format!("file {hash} {hash} {} {}\n", m.size, String::from_utf8_lossy(&m.name));
        }
        let mut note = fineprint::seal::Note::new(text).unwrap();
        note.sign(&signer);
        let packed = note.to_string().into_bytes();
        let mut crc = flate2::Crc::new();
        crc.update(&packed);
        let first = Member { name: b"MANIFEST".to_vec(), method: 0, crc: crc.sum(), size: packed.len() as u32, packed };
        out.insert(0, first);
        problems(&zip(&out), &key)
    };
    assert_eq!(signed_again(&|_, text| text), BTreeSet::new(), "the helper of this test");
    let of = |name: &'static str, from: &'static str, to: &'static str| {
        signed_again(&move |file, text| if file == name { text.replacen(from, to, 1) } else { text })
    };
    let id = ids(&bench)[0].clone();
    assert_eq!(
        of("violations.jsonl", "\"because\":\"", "\"because\":\"not "),
        BTreeSet::from([format!("violation {id}")])
    );
    assert_eq!(of("decisions.jsonl", "confirmed", "test"), BTreeSet::from(["decision 1".to_string()]));
    let without_a_proof = signed_again(&|file, text| match file {
        "proofs.jsonl" => text.split_once('\n').unwrap().1.to_string(),
        _ => text,
    });
    assert_eq!(without_a_proof, BTreeSet::from([format!("violation {id}")]));
    let seq = of("proofs.jsonl", "\"seq\":", "\"seq\":1");
    assert_eq!(seq, BTreeSet::from([format!("violation {id}")]));
    assert!(of("checkpoint", "\n\n", "\nmore\n\n").contains("checkpoint"));
}

#[test]
fn a_level_shows_what_its_table_says() {
    let (bench, key) = found(&events(600));
    let log = bench.export("v.db");
    let records: Vec<Value> = log.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let mut secrets: BTreeSet<String> = ["Rita.Reviewer".to_string(), "onerror".to_string()].into();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    for r in &records {
        secrets.insert(text(&r["id"]));
        secrets.extend(r["accounts"].as_array().unwrap().iter().map(text));
        secrets.extend(r["evidence"]["events"].as_array().unwrap().iter().map(|e| text(&e["id"])));
        secrets.insert(text(&r["evidence"]["root"]));
    }
    secrets.remove("");
    let hashes: BTreeSet<String> = records.iter().map(|r| text(&r["rule_hash"])).collect();
    let made: BTreeMap<&str, BTreeMap<String, String>> = Level::ALL
        .into_iter()
        .map(|level| (level.word(), files(&export(&bench, &format!("--level {} --rules rules", level.word())))))
        .collect();
    let holding = |level: &str, what: &str| made[level].values().any(|text| text.contains(what));
    for secret in &secrets {
        assert!(!holding("public", secret) && !holding("partner", secret), "{secret}");
        assert!(holding("internal", secret), "{secret}");
    }
    for hash in &hashes {
        assert!(!holding("public", hash) && holding("partner", hash), "{hash}");
    }
    for (level, has_bound, has_moment) in [("public", false, false), ("partner", true, true), ("authority", true, true)]
    {
        let first: Value = made[level]["violations.jsonl"]
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .find(|v: &Value| v["values"]["calls"].is_object())
            .unwrap();
        assert_eq!(first["values"]["calls"]["threshold"].is_object(), has_bound, "{level}");
        assert!(first["values"]["calls"]["peak"].is_number(), "{level}");
        let any =
            made[level]["violations.jsonl"].lines().any(|l| !l.contains("opened_at\":\"2026-03-02T00:00:00.000Z"));
        assert_eq!(any, has_moment, "{level}");
    }
    // Pseudonyms: one name within a bundle, another in each.
    let parsed = |level: &str, name: &str| -> Vec<Value> {
        made[level][name].lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    };
    assert_eq!(parsed("partner", "decisions.jsonl")[0]["violation"], parsed("partner", "violations.jsonl")[0]["id"]);
    let accounts = |violations: &[Value]| -> Vec<Value> { violations.iter().map(|v| v["accounts"].clone()).collect() };
    let same = |a: &[Value]| -> Vec<Vec<bool>> { a.iter().map(|x| a.iter().map(|y| x == y).collect()).collect() };
    let (shown, hidden) = (accounts(&records), accounts(&parsed("partner", "violations.jsonl")));
    assert_eq!(same(&shown), same(&hidden), "who is the same stays the same");
    let other = files(&export(&bench, "--level partner --rules rules --reason another"));
    let other: Vec<Value> = other["violations.jsonl"].lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    for (a, b) in accounts(&other).iter().zip(&hidden) {
        assert_ne!(a, b);
    }
    for level in ["public", "partner"] {
        let called = bench.call(&format!("violations export --db v.db --bundle c.zip --limit 3 --level {level}"));
        assert_eq!(called.code, 0, "{called:?}");
        let told = bench.call(&format!("verify c.zip --key {key}"));
        assert!(told.code == 0 && told.out.contains("is not proved") && !told.out.contains("proved: "), "{told:?}");
    }
}

const HOSTILE: &str = "<img src=x onerror=alert(1)>\n\u{202e}evil \u{1b}[31mred</td></table><script>alert(2)</script> =HYPERLINK(\"x\") &amp; {{7*7}} ]]> -->";

#[test]
fn what_events_and_people_say_is_inert_in_the_page() {
    let mut all = events(100);
    for (n, account) in
        ["<script>alert(1)</script>", "a\u{202e}b\u{2066}c", "'\"><svg onload=x>", "\u{1b}]0;t\u{7}", "l\r\nholds: 1"]
            .iter()
            .enumerate()
    {
        let event = json!({ "id": format!("h{n}{account}"), "ts": "2026-03-02T08:00:00Z", "type": "completion", "account": account,
            "refused": false, "max_tokens": -1, "status": 200, "prompt": "canary-prompt" });
        all.insert(0, event.to_string());
    }
    let (bench, _) = found(&all);
    let made = bench
        .command("violations export --db v.db --bundle c.zip --rules rules --by <b>Me</b> --reason")
        .arg(HOSTILE)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let files = files(&std::fs::read(bench.path("c.zip")).unwrap());
    let page = &files["case.html"];
    bench.write("page.html", page);
    assert!(!files.values().any(|text| text.contains("canary-prompt")));
    let steers = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    for name in ["case.html", "VERIFY.md", "MANIFEST", "proofs.jsonl"] {
        assert_eq!(files[name].chars().find(|c| steers(*c)), None, "{name}");
    }
    let parsed = Command::new("python3").args(["-c", PARSE]).arg(bench.path("page.html")).output().unwrap();
    let parsed: Value = serde_json::from_slice(&parsed.stdout).unwrap_or_else(|_| panic!("{parsed:?}"));
    let known = "html head meta title style body h1 h2 h3 h4 p ul li table tr th td code pre em strong bdi span section svg rect line text";
    let tags: BTreeSet<&str> = parsed["tags"].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
    assert_eq!(tags.difference(&known.split(' ').collect()).collect::<Vec<_>>(), Vec::<&&str>::new());
    let attributes = "lang charset http-equiv content name class viewBox viewbox role aria-label x x1 x2 y y1 y2 width height text-anchor";
    let found: BTreeSet<&str> = parsed["attributes"].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
    assert_eq!(found.difference(&attributes.split(' ').collect()).collect::<Vec<_>>(), Vec::<&&str>::new());
    assert_eq!(parsed["open"], json!([]), "every element is closed");
    assert!(parsed["policy"].as_str().unwrap().starts_with("default-src 'none'; style-src 'sha256-"), "{parsed}");
    assert!(parsed["svgs"].as_u64().unwrap() >= 2, "{parsed}");
    let said = parsed["text"].as_str().unwrap();
    for told in [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "a⟨U+202E⟩b⟨U+2066⟩c",
        "Observed",
        "Inferred",
        "Exceptions considered",
        "Decided",
        "confirmed",
    ] {
        assert!(said.contains(told), "{told}");
    }
    // What they say breaks no line of what the command says either.
    let told = bench.call("verify c.zip");
    assert!(told.code == 0 && told.out.lines().filter(|l| l.starts_with("holds:")).count() == 1, "{told:?}");
}

/// Reads a page as a browser would: elements, attributes, what is left open, what is said.
const PARSE: &str = r#"
import html.parser, json, sys
out = {"tags": set(), "attributes": set(), "open": [], "text": "", "policy": "", "svgs": 0}
class Page(html.parser.HTMLParser):
    def handle_starttag(self, tag, attrs):
        out["tags"].add(tag); out["attributes"].update(a for a, _ in attrs); out["svgs"] += tag == "svg"
        if dict(attrs).get("http-equiv"): out["policy"] = dict(attrs)["content"]
        if tag != "meta": out["open"].append(tag)
    def handle_startendtag(self, tag, attrs):
        out["tags"].add(tag); out["attributes"].update(a for a, _ in attrs)
    def handle_endtag(self, tag):
        assert out["open"].pop() == tag, tag
    def handle_data(self, data): out["text"] += data
    def handle_comment(self, data): out["tags"].add("comment")
page = Page(); page.feed(open(sys.argv[1], encoding="utf-8", newline="").read()); page.close()
print(json.dumps({k: sorted(v) if isinstance(v, set) else v for k, v in out.items()}))
"#;

#[test]
fn a_newcomer_checks_a_bundle_with_key_and_binary() {
    let (bench, key) = found(&events(600));
    bench.write("kept.txt", bench.call("log checkpoint --db v.db").out);
    let id = ids(&bench)[0].clone();
    let decided = bench.call(&format!("violations decide --db v.db {id} --as authorised --by R --reason agreed"));
    assert_eq!(decided.code, 0, "{decided:?}");
    let made = export(&bench, &format!("{id} --by Me --reason case-17 --rules rules"));
    let elsewhere = Bench::new();
    elsewhere.write("case.zip", &made);
    elsewhere.write("kept.txt", std::fs::read(bench.path("kept.txt")).unwrap());
    let holds = elsewhere.call(&format!("verify case.zip --key {key} --anchor kept.txt"));
    assert_eq!(holds.code, 0, "{holds:?}");
    for told in [
        "holds: ",
        "level authority",
        "proved: ",
        "rule texts: those of 1 of 1",
        "1 consistent only",
        "grew out of: kept.txt",
    ] {
        assert!(holds.out.contains(told), "{told}: {holds:?}");
    }
    assert!(!holds.out.contains("note:"), "{holds:?}");
    assert_eq!(elsewhere.call("verify case.zip").out.matches("note:").count(), 2);
    // The other verifier.
    let python = |file: &str, kept: &str| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/verify/verify_bundle.py");
        let mut command = Command::new("python3");
        command.arg("-B").arg(script).arg(file).arg(key.to_string()).arg(kept).current_dir(elsewhere.dir.path());
        let done = command.output().unwrap();
        (done.status.code().unwrap(), String::from_utf8(done.stdout).unwrap())
    };
    assert_eq!(python("case.zip", "kept.txt").0, 0, "{:?}", python("case.zip", "kept.txt"));

    let (member, [_, begin, _]) = members(&made).into_iter().find(|(m, _)| m.name == b"case.html").unwrap();
    let mut altered = made.clone();
    altered[begin + member.packed.len() / 2] ^= 4;
    elsewhere.write("altered.zip", &altered);
    let told = elsewhere.call(&format!("verify altered.zip --key {key}"));
    assert!(told.code == 1 && told.out.starts_with("case.html: ") && told.out.contains("does NOT hold: "), "{told:?}");
    assert!(python("altered.zip", "kept.txt").1.starts_with("case.html: "));
    let json = elsewhere.call(&format!("verify altered.zip --key {key} --format json"));
    assert_eq!(serde_json::from_str::<Value>(&json.out).unwrap()["problems"][0]["what"], "case.html");

    // With its events and rules findings are computed again, of none comes out another.
    elsewhere.write("whole.zip", export(&bench, "--level internal --limit 12"));
    let whole = elsewhere.call(&format!("verify whole.zip --key {key} --format json"));
    let said: Value = serde_json::from_str(&whole.out).unwrap();
    let is: Vec<&Value> = said["findings"].as_array().unwrap().iter().map(|f| &f["is"]).collect();
    assert!(whole.code == 0 && is.len() == 12 && is.iter().any(|is| *is == "re-derived"), "{whole:?}");

    // Another log's key; a checkpoint of another log; one that is newer than the bundle.
    let (other, other_key) = found(&events(200));
    elsewhere.write("other.txt", other.call("log checkpoint --db v.db").out);
    bench.call(&format!("violations decide --db v.db {id} --as test --by R --reason again"));
    elsewhere.write("newer.txt", bench.call("log checkpoint --db v.db").out);
    for (words, told) in [
        (format!("--key {other_key}"), "names another key"),
        (format!("--key {key} --anchor other.txt"), "is not signed by the key of the bundle"),
        (format!("--key {key} --anchor newer.txt"), "take an anchor that is older than it"),
    ] {
        let called = elsewhere.call(&format!("verify case.zip {words}"));
        assert!(called.code == 1 && called.out.contains(told), "{words}: {called:?}");
    }
}

#[test]
fn a_wrong_call_says_what_to_write() {
    let (bench, _) = found(&events(200));
    let id = ids(&bench)[0].clone();
    let cases = [
        (
            "violations export --db v.db --bundle c.zip --level everybody".to_string(),
            "public, partner, authority, internal",
        ),
        ("violations export --db v.db --level public".to_string(), "--bundle"),
        (format!("violations export --db v.db --bundle c.zip {id} --rule x"), "leave the filters out"),
        ("violations export --db v.db --bundle c.zip ffffffff".to_string(), "violations list"),
        ("violations export --db v.db --bundle c.zip --rule none-such".to_string(), "no violation is chosen"),
        ("violations export --db v.db --bundle c.zip --anchor v.db".to_string(), "checkpoint"),
        ("violations export --db v.db --bundle no/where/c.zip".to_string(), "cannot write"),
        ("verify missing.zip".to_string(), "cannot read the bundle"),
        ("verify c.zip --db v.db".to_string(), "--db"),
        ("verify".to_string(), "CASE.zip"),
    ];
    for (words, told) in cases {
        let called = bench.call(&words);
        assert!(called.code == 3 && called.err.contains(told), "{words}: {called:?}");
    }
    std::fs::remove_file(bench.path("v.db.key")).unwrap();
    let called = bench.call("violations export --db v.db --bundle c.zip");
    assert!(called.code == 3 && called.err.contains("the log's key"), "{called:?}");
    assert!(!bench.path("c.zip").exists() && !bench.path("c.zip.part").exists());
}

/// Blocks of a page between fences of a kind.
fn blocks(page: &str, kind: &str) -> Vec<String> {
    let fence = format!("```{kind}\n");
    let after = page.split(fence.as_str()).skip(1);
    after.map(|rest| rest.split("```").next().unwrap().to_string()).collect()
}

#[test]
fn the_page_for_newcomers_shows_what_happens() {
    let page = include_str!("../../../docs/bundles.md");
    let (bench, key) = found(&events(600));
    export(&bench, "--rules rules --limit 12");
    std::fs::rename(bench.path("c.zip"), bench.path("case.zip")).unwrap();
    bench.write("key.txt", key.to_string());
    let path =
        format!("{}:/usr/bin:/bin", std::path::Path::new(env!("CARGO_BIN_EXE_fineprint")).parent().unwrap().display());
    let shown = blocks(page, "console").remove(0);
    let mut said: Vec<String> = Vec::new();
    for line in shown.lines().filter_map(|l| l.strip_prefix("$ ")) {
        said.push(format!("$ {line}"));
        let done =
            Command::new("sh").args(["-c", line]).env("PATH", &path).current_dir(bench.dir.path()).output().unwrap();
        said.extend(String::from_utf8(done.stdout).unwrap().lines().map(str::to_string));
    }
    // Numbers and names of keys are others in each log.
    let plain = |line: &str| match line.starts_with("$ ") {
        true => line.to_string(),
        false => line.chars().take_while(|c| !c.is_ascii_digit() && *c != '…').collect::<String>(),
    };
    let documented: Vec<String> = shown.lines().map(plain).collect();
    let begins = |(documented, said): (&String, &String)| said.starts_with(documented.as_str());
    assert!(documented.len() <= said.len() && documented.iter().zip(&said).all(begins), "{documented:#?}\n{said:#?}");
}

#[test]
fn the_table_of_the_page_is_that_of_the_code() {
    let word = |shown: bundle::Shown| match shown {
        bundle::Shown::Whole => "whole",
        bundle::Shown::Pseudonym => "pseudonym",
        bundle::Shown::Day => "day",
        bundle::Shown::Hidden => "hidden",
    };
    let row = |(_, part, shown): &(bundle::Part, &str, [bundle::Shown; 4])| {
        format!("| {part} | {} |\n", shown.map(word).join(" | "))
    };
    let table: String = bundle::TABLE.iter().map(row).collect();
    assert!(include_str!("../../../docs/bundles.md").contains(&table), "{table}");
}
