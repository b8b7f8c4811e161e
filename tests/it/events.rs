use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use fineprint::event::decode::{
    Decoder, EVENT_BYTES_MAX, ID_BYTES_MAX, LIST_ITEMS_MAX, RejectReason, UNKNOWN_NAMES_MAX, decode,
};
use fineprint::event::json::{DEPTH_MAX, Fault, Number, Tree};
use fineprint::event::{FIELD_COUNT, FIELDS, FieldId, Kind, Slot, UsageEvent, fields};
use fineprint::time::Timestamp;
use fineprint::value::{Type, Value};
use proptest::prelude::*;

/// A line with what every event needs, and more.
fn line(more: &str) -> String {
    let comma = if more.is_empty() { "" } else { "," };
    format!(r#"{{"id":"e1","ts":"2026-03-02T00:00:07Z","type":"completion"{comma}{more}}}"#)
}

/// Decodes with and without memory of other lines; both must agree.
fn read(text: &str) -> Result<UsageEvent<'_>, fineprint::event::decode::Reject> {
    let mut decoder = Decoder::new();
    for warm_up in [line(r#""account":"a","prompt":"x","latency_ms":3,"zzz":1"#), text.to_owned()] {
        let _ = decoder.decode(warm_up.as_bytes()).map(UsageEvent::into_owned);
    }
    let plain = decode(text.as_bytes());
    assert_eq!(plain, decoder.decode(text.as_bytes()), "{text}");
    plain
}

fn field(json: &str) -> FieldId {
    fields::by_json(json).unwrap()
}

#[test]
fn every_key_is_found_under_its_own_number() {
    let mut names = BTreeMap::new();
    for (number, f) in FIELDS.iter().enumerate() {
        assert_eq!(field(f.json), FieldId(number as u8));
        assert_eq!(fields::by_name(f.name), Some(FieldId(number as u8)));
        assert_eq!(names.insert(f.json, number), None, "{} stands twice", f.json);
    }
    assert_eq!(names.len(), FIELD_COUNT);
    assert!(!names.contains_key("type"));
}

#[test]
fn values_are_read_in_the_unit_of_their_field() {
    let cases: &[(&str, &str, Value<'_>)] = &[
        ("account", r#""acct_1""#, Value::Text("acct_1")),
        ("prompt", r#""a\nb \u00e9 \ud83d\ude00 \/ \" \\""#, Value::Text("a\nb é 😀 / \" \\")),
        ("prompt", r#""""#, Value::Text("")),
        ("prompt", r#""\u0000""#, Value::Text("\0")),
        ("country", r#""de""#, Value::Text("DE")),
        ("asn", "63949", Value::Num(63949)),
        ("asn", "-9223372036854775808", Value::Num(i64::MIN)),
        ("asn", "9223372036854775807", Value::Num(i64::MAX)),
        ("asn", "-0", Value::Num(0)),
        ("max_tokens", "-1", Value::Num(-1)),
        ("temperature", "0.3", Value::Num(300_000)),
        ("temperature", "1", Value::Num(1_000_000)),
        ("temperature", "1.0000005", Value::Num(1_000_000)),
        ("temperature", "1.0000015", Value::Num(1_000_002)),
        ("temperature", "1.00000050000000000000000000000001", Value::Num(1_000_001)),
        ("temperature", "-0.0000015", Value::Num(-2)),
        ("temperature", "5e-7", Value::Num(0)),
        ("temperature", "5.1E-7", Value::Num(1)),
        ("temperature", "3e-400000000000000000000", Value::Num(0)),
        ("temperature", "0e999999999999999999999", Value::Num(0)),
        ("temperature", "2.5e+1", Value::Num(25_000_000)),
        ("cost", "0.0012345", Value::Num(1234)),
        ("cost", "9223372036854.775807", Value::Num(i64::MAX)),
        ("latency_ms", "957", Value::Num(957_000_000)),
        ("latency_ms", "0.25", Value::Num(250_000)),
        ("stream", "true", Value::Bool(true)),
        ("stream", "false", Value::Bool(false)),
        ("ip", r#""198.18.95.18""#, Value::Ip("198.18.95.18".parse::<IpAddr>().unwrap())),
        ("ip", r#""::ffff:192.0.2.1""#, Value::Ip("192.0.2.1".parse::<IpAddr>().unwrap())),
        ("ip", r#""2001:db8::1""#, Value::Ip("2001:db8::1".parse::<IpAddr>().unwrap())),
        ("tls_fp", r#""t13d""#, Value::Text("t13d")),
        ("tls_fp", "18446744073709551615", Value::Text("ffffffffffffffff")),
        ("account_created", r#""1970-01-01T00:00:01.5+00:00""#, Value::Num(1_500_000_000)),
        ("account", "null", Value::Unknown),
        ("stream", "null", Value::Unknown),
        ("prompt_fps", "null", Value::Unknown),
    ];
    for (key, json, expected) in cases {
        let text = line(&format!(r#""{key}" : {json} "#));
        let event = read(&text).unwrap_or_else(|reject| panic!("{text}: {reject}"));
        assert_eq!(event.get(field(key)), *expected, "{text}");
    }
    let fps = line(r#""prompt_fps":["a", 255 ],"capabilities":[]"#);
    let event = read(&fps).unwrap();
    assert_eq!(event.get(FieldId::PROMPT_FPS), Value::Texts(&["a".to_owned(), "00000000000000ff".to_owned()]));
    assert_eq!(event.get(FieldId::CAPABILITIES), Value::Texts(&[]));
}

#[test]
fn what_is_wrong_is_rejected_with_its_reason() {
    use RejectReason as R;
    let deep = |n: usize| format!(r#""zzz":{}1{}"#, "[".repeat(n), "]".repeat(n));
    let many = vec!["\"a\""; LIST_ITEMS_MAX + 1].join(",");
    let cases: Vec<(String, R, &str)> = vec![
        (" ".repeat(3), R::Syntax, "expected a value at byte 0"),
        ("{".into(), R::Syntax, "expected a key in quotes"),
        ("{}".into(), R::MissingField, "`id` is missing"),
        (r#"{"id":"x"}"#.into(), R::MissingField, "`ts` is missing: give the time as RFC 3339"),
        (
            r#"{"id":"x","ts":"2026-03-02T00:00:07Z"}"#.into(),
            R::MissingField,
            "`type` is missing: give one of \"completion\"",
        ),
        (r#"{"id":"x","ts":"2026-03-02T00:00:07Z","type":null}"#.into(), R::MissingField, "`type` is missing"),
        (r#"{"id":null,"ts":"2026-03-02T00:00:07Z","type":"signup"}"#.into(), R::MissingField, "`id` is missing"),
        (r#"{"id":"","ts":"2026-03-02T00:00:07Z","type":"signup"}"#.into(), R::MissingField, "`id` is missing"),
        (
            r#"{"id":7,"ts":"2026-03-02T00:00:07Z","type":"signup"}"#.into(),
            R::WrongType,
            "`id` should be text, but is a number",
        ),
        (
            r#"{"id":"x","ts":"yesterday","type":"signup"}"#.into(),
            R::BadValue,
            "`ts` should be a time as RFC 3339 text, such as \"2026-03-02T00:00:07Z\", but has the shape `aaaaaaaaa`",
        ),
        (r#"{"id":"x","ts":1772409607,"type":"signup"}"#.into(), R::WrongType, "`ts` should be a time"),
        (
            r#"{"id":"x","ts":"2026-03-02T00:00:07Z","type":"chat"}"#.into(),
            R::BadValue,
            "but is a word of the shape \"aaaa\"",
        ),
        (r#"{"id":"x","ts":"2026-03-02T00:00:07Z","type":5}"#.into(), R::WrongType, "`type` should be one of"),
        (
            format!(r#"{{"id":"{}","ts":"2026-03-02T00:00:07Z","type":"signup"}}"#, "x".repeat(ID_BYTES_MAX + 1)),
            R::BadValue,
            "`id` is longer than 256 bytes",
        ),
        ("[]".into(), R::NotAnObject, "not a JSON object"),
        ("\"x\"".into(), R::NotAnObject, "not a JSON object"),
        ("hello".into(), R::Syntax, "expected a value"),
        ("NaN".into(), R::NotANumber, "no JSON number"),
        (line("") + "{}", R::TrailingData, "something follows"),
        (line("") + ",", R::TrailingData, "something follows"),
        (line(r#""org":"a","org":"a""#), R::DuplicateKey, "`org` stands twice"),
        (line(r#""org":null,"org":"a""#), R::DuplicateKey, "`org` stands twice"),
        (line(r#""org":"a","\u006frg":"b""#), R::DuplicateKey, "`org` stands twice"),
        (line(r#""type":"signup""#), R::DuplicateKey, "`type` stands twice"),
        (line(r#""zzz":1,"yyy":2,"zzz":1"#), R::DuplicateKey, "the key of the shape `aaa` stands twice"),
        (line(r#""zzz":[{"a":{"b":1,"c":2,"b":3}}]"#), R::DuplicateKey, "the key of the shape `a` stands twice"),
        (line(r#""asn":9223372036854775808"#), R::NumberRange, "`asn` is too large for a whole number"),
        (line(r#""asn":18446744073709551616"#), R::NumberRange, "does not fit 64 bits"),
        (line(r#""zzz":18446744073709551616"#), R::NumberRange, "does not fit 64 bits"),
        (line(r#""zzz":-9223372036854775809"#), R::NumberRange, "does not fit 64 bits"),
        (line(r#""cost":1e13"#), R::NumberRange, "`cost` is too large"),
        (line(r#""cost":9223372036854.775808"#), R::NumberRange, "`cost` is too large"),
        (line(r#""cost":1e99999999999999999999"#), R::NumberRange, "`cost` is too large"),
        (line(r#""asn":5.0"#), R::WrongType, "`asn` should be a whole number, without point or exponent"),
        (line(r#""asn":5e0"#), R::WrongType, "`asn` should be a whole number"),
        (line(r#""asn":"5""#), R::WrongType, "but is text"),
        (line(r#""asn":true"#), R::WrongType, "but is a truth value"),
        (line(r#""temperature":"0.3""#), R::WrongType, "`temperature` should be a number, but is text"),
        (line(r#""stream":1"#), R::WrongType, "`stream` should be `true` or `false`, but is a number"),
        (line(r#""stream":"true""#), R::WrongType, "but is text"),
        (line(r#""prompt":["a"]"#), R::WrongType, "but is a list"),
        (line(r#""prompt":{"a":1}"#), R::WrongType, "but is an object"),
        (line(r#""capabilities":"a""#), R::WrongType, "`capabilities` should be a list of texts, but is text"),
        (line(r#""capabilities":[1]"#), R::WrongType, "a list with a number in it"),
        (line(r#""capabilities":[null]"#), R::WrongType, "a list with `null` in it"),
        (line(r#""prompt_fps":[-1]"#), R::WrongType, "below zero"),
        (line(r#""tls_fp":1.5"#), R::WrongType, "with a fraction"),
        (line(&format!(r#""capabilities":[{many}]"#)), R::TooManyItems, "more than 64 items"),
        (line(r#""country":"DEU""#), R::BadValue, "but has the shape `aaa`"),
        (line(r#""country":"D1""#), R::BadValue, "a country of two letters"),
        // An address is personal: the message does not repeat it.
        (line(r#""ip":"1.2.3""#), R::BadValue, "`ip` should be an IP address as text"),
        (line(r#""cost":NaN"#), R::NotANumber, "no JSON number"),
        (line(r#""cost":-Infinity"#), R::NotANumber, "no JSON number"),
        (line(r#""zzz":Infinity"#), R::NotANumber, "no JSON number"),
        (line(r#""cost":01"#), R::Syntax, "without leading zeros"),
        (line(r#""asn":01"#), R::Syntax, "without leading zeros"),
        (line(r#""cost":1."#), R::Syntax, "a digit after the point"),
        (line(r#""cost":.5"#), R::Syntax, "expected a value"),
        (line(r#""cost":+5"#), R::Syntax, "expected a value"),
        (line(r#""cost":1e"#), R::Syntax, "a digit in the exponent"),
        (line(r#""asn":-"#), R::Syntax, "expected a value"),
        (line(r#""stream":tru"#), R::Syntax, "expected a value"),
        (line(r#""stream":truex"#), R::Syntax, "`,` or `}`"),
        (line(r#""org":'a'"#), R::Syntax, "expected a value"),
        (line(r#""org":"a","#), R::Syntax, "a key in quotes"),
        (line(r#"org:"a""#), R::Syntax, "a key in quotes"),
        (line(r#""org" "a""#), R::Syntax, "`:` after the key"),
        (line(r#""zzz":[1,]"#), R::Syntax, "expected a value"),
        (line(r#""zzz":[1 2]"#), R::Syntax, "`,` or `]`"),
        (line(r#""zzz":{"a":1,}"#), R::Syntax, "a key in quotes"),
        (line("\"org\":\"a\tb\""), R::Syntax, "control character"),
        (line(&format!("\"org\":\"{}\nb\"", "x".repeat(100))), R::Syntax, "control character"),
        (line(r#""org":"\x""#), R::Syntax, "an escape that JSON has"),
        (line(r#""org":"\u00g0""#), R::Syntax, "four hexadecimal digits"),
        (line(r#""org":"abc"#), R::Syntax, "expected"),
        (line(r#""org":"\ud800""#), R::LoneSurrogate, "half of a surrogate pair"),
        (line(r#""org":"\ud800\u0041""#), R::LoneSurrogate, "half of a surrogate pair"),
        (line(r#""org":"\udc00""#), R::LoneSurrogate, "half of a surrogate pair"),
        (line(r#""zzz":{"\ud800":1}"#), R::LoneSurrogate, "half of a surrogate pair"),
        (line(&deep(DEPTH_MAX)), R::TooDeep, "nested deeper than 64"),
        (line(&format!(r#""prompt":"{}""#, "x".repeat(EVENT_BYTES_MAX))), R::TooLong, "longer than 1048576 bytes"),
    ];
    // Native records are always of usage.
    let mut seen: Vec<RejectReason> = vec![R::InvalidUtf8, R::NotUsage];
    for (text, reason, detail) in &cases {
        let reject = read(text).expect_err(text);
        assert_eq!(reject.reason, *reason, "{text}: {reject}");
        assert!(reject.detail.contains(detail), "{text}: {}", reject.detail);
        assert!(!reject.detail.contains("1.2.3"), "{}", reject.detail);
        seen.push(*reason);
    }
    let bytes = [line("").as_bytes(), b"\xff"].concat();
    assert_eq!(decode(&bytes).unwrap_err().reason, R::InvalidUtf8);
    for reason in RejectReason::ALL {
        assert!(seen.contains(&reason), "no case for {}", reason.word());
    }
    read(&line(&deep(DEPTH_MAX - 1))).unwrap();
}

#[test]
fn words_of_reasons_are_told_apart() {
    let words: std::collections::BTreeSet<_> = RejectReason::ALL.iter().map(|r| r.word()).collect();
    assert_eq!(words.len(), RejectReason::ALL.len());
}

#[test]
fn unknown_keys_are_ignored_and_counted() {
    let text = line(r#""zzz":{"a":[1,2.5e3,{"b":null}]},"org":"o","Org":"x""#);
    let event = read(&text).unwrap();
    assert_eq!(event.unknown_keys(), 2);
    assert_eq!(event.get(FieldId::ORG), Value::Text("o"));
    let mut decoder = Decoder::new();
    decoder.decode(text.as_bytes()).unwrap();
    assert_eq!(decoder.unknown_names().collect::<Vec<_>>(), ["Org", "zzz"]);
    for i in 0..2 * UNKNOWN_NAMES_MAX {
        decoder.decode(line(&format!(r#""k{i}":0"#)).as_bytes()).unwrap();
    }
    assert_eq!(decoder.unknown_names().count(), UNKNOWN_NAMES_MAX);
}

#[test]
fn texts_without_escapes_borrow_from_the_line() {
    let text = line(r#""org":"o","prompt":"plain""#);
    let range = text.as_bytes().as_ptr_range();
    let event = decode(text.as_bytes()).unwrap();
    let Value::Text(prompt) = event.get(FieldId::PROMPT) else { panic!() };
    assert!(range.contains(&prompt.as_ptr()));
}

#[test]
fn content_is_the_line_without_space_around() {
    let text = line(r#""org":"o""#);
    let same = format!(" \t{text}\r\n");
    assert_eq!(decode(text.as_bytes()).unwrap().content(), decode(same.as_bytes()).unwrap().content());
    let other = line(r#""org":"p""#);
    assert_ne!(decode(text.as_bytes()).unwrap().content(), decode(other.as_bytes()).unwrap().content());
    assert_eq!(decode(text.as_bytes()).unwrap().content(), xxhash_rust::xxh3::xxh3_128(text.as_bytes()));
}

#[test]
fn many_hostile_unknown_keys_are_read_in_time() {
    let keys: Vec<String> = (0..60_000).map(|i| format!(r#""k{i}":0"#)).collect();
    assert_eq!(decode(line(&keys.join(",")).as_bytes()).unwrap().unknown_keys(), 60_000);
}

#[test]
fn setting_a_field_replaces_its_value() {
    let mut event = UsageEvent::new(Kind::Signup, "a", Timestamp(5));
    event.set(FieldId::ORG, Slot::Text(Cow::Borrowed("x")));
    event.set(FieldId::ORG, Slot::Text(Cow::Owned("y".into())));
    event.set(FieldId::ORG, Slot::Text(Cow::Owned("z".into())));
    event.set(FieldId::TS, Slot::Num(9));
    assert_eq!(
        (event.get(FieldId::ORG), event.ts(), event.get(FieldId::TS)),
        (Value::Text("z"), Timestamp(9), Value::Num(9))
    );
    assert_eq!(event.clone().into_owned(), event);
    assert_eq!(event.fields().count(), 3);
}

// ── properties ──

/// One generated value: its JSON, and what it must be read as.
fn value_for(ty: &Type) -> BoxedStrategy<(String, Slot<'static>)> {
    let texts = prop::collection::vec(
        prop_oneof![any::<char>(), prop::sample::select(vec!['"', '\\', '\n', '\u{1f}', '\u{7f}', 'é', '😀', 'a']),],
        0..60,
    )
    .prop_map(|chars| chars.into_iter().collect::<String>());
    let text = (texts, any::<u64>()).prop_map(|(text, style)| (json_text(&text, style), text));
    match ty {
        Type::Bool => any::<bool>().prop_map(|b| (b.to_string(), Slot::Bool(b))).boxed(),
        Type::Integer | Type::Tokens => any::<i64>().prop_map(|n| (n.to_string(), Slot::Num(n))).boxed(),
        Type::Duration | Type::Decimal | Type::Money | Type::Percentage => {
            // Thousandths of the written unit, so that every form is exact.
            let unit = 1_000;
            (-1_000_000_000i64..1_000_000_000, 0..3u8)
                .prop_map(move |(n, form)| {
                    let sign = if n < 0 { "-" } else { "" };
                    let (whole, part) = (n.abs() / 1000, n.abs() % 1000);
                    let json = match form {
                        0 => format!("{sign}{whole}.{part:03}"),
                        1 => format!("{sign}{whole}.{part:03}000000000000000000000"),
                        _ => format!("{n}e-3"),
                    };
                    (json, Slot::Num(n * unit))
                })
                .boxed()
        }
        Type::Timestamp => {
            (0i64..4_000_000_000_000_000_000).prop_map(|ns| (format!("\"{}\"", Timestamp(ns)), Slot::Num(ns))).boxed()
        }
        Type::Country => {
            "[A-Za-z]{2}".prop_map(|c| (format!("\"{c}\""), Slot::Text(Cow::Owned(c.to_ascii_uppercase())))).boxed()
        }
        Type::Ip => any::<IpAddr>().prop_map(|ip| (format!("\"{ip}\""), Slot::Ip(ip.to_canonical()))).boxed(),
        Type::Fingerprint => prop_oneof![
            text.prop_map(|(json, text)| (json, Slot::Text(Cow::Owned(text)))),
            any::<u64>().prop_map(|n| (n.to_string(), Slot::Text(Cow::Owned(format!("{n:016x}"))))),
        ]
        .boxed(),
        Type::List(_) => prop::collection::vec(text, 0..5)
            .prop_map(|items| {
                let (json, texts): (Vec<_>, Vec<_>) = items.into_iter().unzip();
                (format!("[{}]", json.join(" , ")), Slot::Texts(texts))
            })
            .boxed(),
        _ => text.prop_map(|(json, text)| (json, Slot::Text(Cow::Owned(text)))).boxed(),
    }
}

/// A text as JSON; the bits of `style` choose among the ways to write a character.
fn json_text(text: &str, mut style: u64) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        let mut units = [0u16; 2];
        let escaped: String = c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect();
        let plain = match c {
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            '\n' => "\\n".to_owned(),
            c if c < ' ' => escaped.clone(),
            c => c.to_string(),
        };
        out += if style & 7 == 0 { &escaped } else { &plain };
        style = style.rotate_right(3);
    }
    out + "\""
}

type Entries = Vec<(String, String, Option<(FieldId, Slot<'static>)>)>;

/// An object: keys in any order, some unknown, some `null`.
fn objects() -> impl Strategy<Value = Entries> {
    let known = (1..FIELD_COUNT as u8, any::<u64>()).prop_flat_map(|(number, style)| {
        let f = &FIELDS[usize::from(number)];
        let value = value_for(&f.ty);
        let key = json_text(f.json, style | style.rotate_left(9));
        prop_oneof![
            9 => value.prop_map(move |(json, slot)| (key.clone(), json, Some((FieldId(number), slot)))),
            1 => Just((format!("\"{}\"", f.json), "null".to_owned(), None)),
        ]
    });
    let unknown = ("x[a-z0-9]{0,20}", prop::sample::select(vec!["1", "[{\"a\":[]}, 2.5]", "\"\\n\"", "{}", "null"]))
        .prop_map(|(key, json)| (format!("\"{key}\""), json.to_owned(), None));
    prop::collection::vec(prop_oneof![6 => known, 1 => unknown], 0..40).prop_shuffle()
}

/// The line of an object, and the event that it must be; keys that come again are left out.
fn render(entries: &Entries, space: bool) -> (String, UsageEvent<'static>) {
    let (gap, colon) = if space { ("\n ", " : ") } else { ("", ":") };
    let mut event = UsageEvent::new(Kind::Action, "e", Timestamp(0));
    let mut seen = std::collections::BTreeSet::new();
    let mut parts =
        vec![r#""id":"e""#.to_owned(), r#""type":"action""#.to_owned(), r#""ts":"1970-01-01T00:00:00Z""#.to_owned()];
    let mut n_unknown = 0;
    for (key, json, slot) in entries {
        let name: String = serde_json::from_str(key).unwrap();
        if name == "ts" || !seen.insert(name.clone()) {
            continue;
        }
        n_unknown += u32::from(fields::by_json(&name).is_none());
        if let Some((field, slot)) = slot {
            event.set(*field, slot.clone());
        }
        parts.insert(parts.len() * (json.len() % 5) / 4, format!("{key}{colon}{json}"));
    }
    event.set_unknown_keys(n_unknown);
    let text = format!("{{{gap}{}{gap}}}", parts.join(&format!("{gap},{gap}")));
    event.set_content(xxhash_rust::xxh3::xxh3_128(text.as_bytes()));
    (text, event)
}

/// Whether serde_json takes a text, with the keys of each object checked by hand: another reader's view of "strict".
fn strict_json(text: &str) -> bool {
    struct Strict;
    impl<'de> serde::de::DeserializeSeed<'de> for Strict {
        type Value = ();
        fn deserialize<D: serde::Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
            d.deserialize_any(self)
        }
    }
    impl<'de> serde::de::Visitor<'de> for Strict {
        type Value = ();
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("JSON")
        }
        fn visit_unit<E>(self) -> Result<(), E> {
            Ok(())
        }
        fn visit_bool<E>(self, _: bool) -> Result<(), E> {
            Ok(())
        }
        fn visit_i64<E>(self, _: i64) -> Result<(), E> {
            Ok(())
        }
        fn visit_u64<E>(self, _: u64) -> Result<(), E> {
            Ok(())
        }
        fn visit_f64<E>(self, _: f64) -> Result<(), E> {
            Ok(())
        }
        fn visit_str<E>(self, _: &str) -> Result<(), E> {
            Ok(())
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
            while seq.next_element_seed(Strict)?.is_some() {}
            Ok(())
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            let mut keys = std::collections::BTreeSet::new();
            while let Some(key) = map.next_key::<String>()? {
                if !keys.insert(key) {
                    return Err(serde::de::Error::custom("twice"));
                }
                map.next_value_seed(Strict)?;
            }
            Ok(())
        }
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    serde::de::DeserializeSeed::deserialize(Strict, &mut reader).is_ok() && reader.end().is_ok()
}

/// JSON-like text: mostly well-formed, sometimes broken by one edit.
fn json_like() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        "-?[0-9]{1,3}(\\.[0-9]{0,3})?([eE][+-]?[0-9]{0,1})?",
        (".{0,40}", any::<u64>()).prop_map(|(text, style)| json_text(&text, style)),
    ];
    let tree = leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(("[a-d]{1,2}", inner), 0..5).prop_map(|entries| {
                let entries: Vec<String> = entries.into_iter().map(|(k, v)| format!("\"{k}\": {v}")).collect();
                format!("{{{}}}", entries.join(","))
            }),
        ]
    });
    (
        tree,
        any::<prop::sample::Index>(),
        prop::sample::select(vec!["", "", "", "\"", "\\", "{", "]", ",", "0", "\u{1}", "\\u", "-", "."]),
    )
        .prop_map(|(text, at, edit)| {
            let mut at = at.index(text.len() + 1);
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            format!("{}{edit}{}", &text[..at], &text[at..])
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn decoding_gives_what_was_written(objects in prop::collection::vec((objects(), any::<bool>()), 1..5)) {
        let mut decoder = Decoder::new();
        for (entries, space) in &objects {
            let (text, expected) = render(entries, *space);
            let plain = decode(text.as_bytes());
            prop_assert_eq!(plain.as_ref(), Ok(&expected), "{}", text);
            prop_assert_eq!(decoder.decode(text.as_bytes()), plain, "{}", text);
            decoder.recycle(expected);
        }
    }

    #[test]
    fn guessing_never_changes_the_result(lines in prop::collection::vec((objects(), any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..8)) {
        let mut decoder = Decoder::new();
        for (entries, at, byte, edit) in &lines {
            let mut bytes = render(entries, false).0.into_bytes();
            let at = at.index(bytes.len());
            match edit {
                0 => bytes[at] = *byte,
                1 => bytes.truncate(at),
                2 => bytes.insert(at, b"\"\\{}[],:0e"[usize::from(*byte) % 10]),
                _ => {}
            }
            let guessed = decoder.decode(&bytes);
            prop_assert_eq!(&guessed, &decode(&bytes));
            if let Ok(event) = guessed {
                decoder.recycle(event);
            }
        }
    }

    #[test]
    fn garbage_is_rejected_and_nothing_else(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn strictness_is_that_of_another_reader(text in json_like()) {
        let ours = Tree::parse(&text, &|_| false);
        // The other reader makes a float of a whole number beyond 64 bits.
        if !ours.as_ref().is_err_and(|error| error.fault == Fault::NumberRange) {
            prop_assert_eq!(ours.is_ok(), strict_json(&text), "{}: {:?}", text, ours);
        }
        // What is passed over is checked as strictly as what is kept.
        prop_assert_eq!(Tree::parse(&text, &|_| true).is_ok(), ours.is_ok());
        let event = line(&format!("\"zzz\":{text}"));
        prop_assert_eq!(decode(event.as_bytes()).is_ok(), ours.is_ok(), "{}", event);
    }

    #[test]
    fn numbers_are_scaled_exactly(digits in any::<i32>(), exponent in -12i32..6, places in 0u32..10) {
        let text = format!("{digits}e{exponent}");
        let shift = exponent + places as i32;
        let expected = if shift >= 0 {
            i128::from(digits) * 10i128.pow(shift as u32)
        } else {
            let divisor = 10i128.pow(shift.unsigned_abs());
            let (floor, rest) = (i128::from(digits).div_euclid(divisor), i128::from(digits).rem_euclid(divisor));
            match (rest * 2).cmp(&divisor) {
                std::cmp::Ordering::Less => floor,
                std::cmp::Ordering::Greater => floor + 1,
                std::cmp::Ordering::Equal => floor + floor.rem_euclid(2),
            }
        };
        prop_assert_eq!(Number::parse(&text).unwrap().scaled(places), i64::try_from(expected).ok());
    }
}
