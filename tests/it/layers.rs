//! The house: which module may use which, what the pure core must not touch, and what each feature brings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Modules by layer: a module uses those of earlier layers and, within a layer, those before it in its list. Nothing else.
const LAYERS: &[(&str, &[&str])] = &[
    ("core", &["source", "time"]),
    ("core", &["diagnostic", "place", "value"]),
    ("core", &["event", "syntax"]),
    ("core", &["template"]),
    ("core", &["reference"]),
    ("core", &["hir"]),
    ("core", &["violation"]),
    ("core", &["decision"]),
    ("core", &["campaign", "compare"]),
    ("core", &["check", "plan"]),
    ("core", &["compile"]),
    ("core", &["eval"]),
    ("core", &["enforce"]),
    ("core", &["inline"]),
    ("core", &["fixture", "derive"]),
    ("core", &["counsel"]),
    (
        "edge",
        &[
            "gate", "seal", "export", "feed", "pack", "store", "journal", "runtime", "bundle", "alert", "publish",
            "gateway", "serve", "simulate", "cli",
        ],
    ),
];

/// Pairs that the order would allow and that must not know each other all the same.
const STRANGERS: &[(&str, &str)] = &[
    ("value", "diagnostic"),
    ("syntax", "event"),
    ("template", "event"),
    ("template", "syntax"),
    ("campaign", "event"),
    ("compare", "event"),
    ("compare", "campaign"),
    ("check", "violation"),
    ("check", "campaign"),
    ("plan", "campaign"),
    ("eval", "campaign"),
    ("eval", "compare"),
    ("plan", "check"),
    ("feed", "export"),
    ("pack", "export"),
    ("store", "export"),
    ("store", "feed"),
    ("store", "pack"),
    ("journal", "export"),
    ("journal", "feed"),
    ("journal", "pack"),
    ("journal", "store"),
];

/// What the core must not mention: it has no clock, no files, no threads, no randomness, no terminal.
const FORBIDDEN_IN_CORE: &[&str] = &[
    "std::fs",
    "std::io",
    "std::env",
    "std::net::Tcp",
    "std::net::Udp",
    "std::process",
    "std::thread",
    "std::sync::mpsc",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "SystemTime",
    "Instant",
    "RandomState",
    "tokio",
    "sqlx",
    "tracing",
    "rand::",
    "getrandom",
    "async fn",
    "println!",
    "eprintln!",
    "print!(",
    "eprint!(",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The top-level module of a file.
fn module_of(file: &Path) -> String {
    let below = file.strip_prefix(root().join("src")).unwrap();
    let first = below.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_string()
}

/// The code of a file: no comments, no text literals, no tests at its end.
fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
    text.lines().map(|line| without_texts(line.split("//").next().unwrap_or(""))).collect::<Vec<_>>().join("\n")
}

fn without_texts(line: &str) -> String {
    let mut out = String::new();
    let mut within = false;
    let mut escaped = false;
    for c in line.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if within => escaped = true,
            '"' => within = !within,
            c if !within => out.push(c),
            _ => {}
        }
    }
    out
}

/// Modules mentioned as `crate::module`.
fn mentions(code: &str) -> BTreeSet<String> {
    let word = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    code.match_indices("crate::").map(|(at, m)| word(&code[at + m.len()..])).filter(|w| !w.is_empty()).collect()
}

fn place(module: &str) -> Option<(usize, usize)> {
    LAYERS
        .iter()
        .enumerate()
        .find_map(|(layer, (_, modules))| modules.iter().position(|m| *m == module).map(|at| (layer, at)))
}

#[test]
fn every_module_has_its_place() {
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for line in lib.lines() {
        if let Some(name) = line.strip_prefix("pub mod ").and_then(|l| l.strip_suffix(';')) {
            assert!(place(name).is_some(), "`{name}` is in src/lib.rs but has no layer in tests/it/layers.rs");
        }
    }
}

#[test]
fn modules_use_only_what_stands_before_them() {
    let mut wrong = Vec::new();
    for file in sources(&root().join("src")) {
        let module = module_of(&file);
        if module == "lib" || module == "main" {
            continue;
        }
        let here = place(&module).unwrap_or_else(|| panic!("{} belongs to no layer", file.display()));
        for used in mentions(&code(&file)) {
            if used == module {
                continue;
            }
            let shown = file.strip_prefix(root()).unwrap().display();
            match place(&used) {
                None => wrong.push(format!("{shown}: `crate::{used}` is no module: name things where they live")),
                Some(there) if there > here => {
                    wrong.push(format!("{shown}: `{module}` must not use `{used}`, which stands after it"))
                }
                Some(_) if STRANGERS.contains(&(module.as_str(), used.as_str())) => {
                    wrong.push(format!("{shown}: `{module}` must not know `{used}`"));
                }
                Some(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_are_not_grouped_at_the_root() {
    for file in sources(&root().join("src")) {
        assert!(
            !code(&file).contains("crate::{"),
            "{}: one `use crate::module::…` a line, so that the layers can be read",
            file.display()
        );
    }
}

#[test]
fn the_core_touches_nothing_of_the_world() {
    let core: BTreeSet<&str> =
        LAYERS.iter().filter(|(part, _)| *part == "core").flat_map(|(_, modules)| modules.iter().copied()).collect();
    let mut wrong = Vec::new();
    for file in sources(&root().join("src")) {
        if !core.contains(module_of(&file).as_str()) {
            continue;
        }
        // The trait by which numbers are written into a buffer is no output.
        let code = code(&file).replace("std::io::Write", "");
        for word in FORBIDDEN_IN_CORE {
            let found = code
                .match_indices(word)
                .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
            if found {
                wrong.push(format!("{}: `{word}`", file.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(wrong.is_empty(), "the core has no clock, files, threads, randomness or terminal:\n{}", wrong.join("\n"));
}

/// Clock and printing, where they are allowed at all.
#[test]
fn the_clock_is_read_by_runtime_server_and_command_only() {
    for file in sources(&root().join("src")) {
        let code = code(&file);
        let module = module_of(&file);
        if code.contains("Instant::now") || code.contains("SystemTime::now") {
            assert!(["runtime", "serve", "cli"].contains(&module.as_str()), "{}: time is an argument", file.display());
        }
        assert!(!code.contains("unsafe "), "{}: no `unsafe`", file.display());
    }
}

fn cargo(arguments: &[&str]) -> std::process::Output {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(arguments)
        .arg("--offline")
        .current_dir(root())
        .output()
        .unwrap()
}

/// Crates that a set of features brings, by name.
fn crates(features: &[&str]) -> BTreeSet<String> {
    let mut arguments = vec!["tree", "-e", "normal", "--prefix", "none", "--format", "{p}"];
    arguments.extend(features);
    let tree = cargo(&arguments);
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8(tree.stdout).unwrap();
    text.lines().filter_map(|l| l.split_whitespace().next()).map(str::to_string).collect()
}

#[test]
fn an_embedder_gets_parser_and_evaluator_alone() {
    let core = crates(&["--no-default-features"]);
    for heavy in
        ["tokio", "sqlx", "clap", "serde_yaml", "yaml_serde", "zstd", "flate2", "indicatif", "tracing", "anyhow"]
    {
        assert!(!core.contains(heavy), "`{heavy}` comes with no features at all");
    }
    let brings = BTreeMap::from([("feed", "zstd"), ("sqlite", "sqlx"), ("runtime", "tracing"), ("cli", "clap")]);
    for (feature, brought) in brings {
        let all = crates(&["--no-default-features", "--features", feature]);
        assert!(all.contains(brought), "feature `{feature}` should bring `{brought}`");
    }
    let feed = crates(&["--no-default-features", "--features", "feed"]);
    assert!(!feed.contains("tokio") && !feed.contains("sqlx"), "reading files needs no runtime and no database");
}

/// In a target folder of its own, since the one of this test is locked while it runs; small, since nothing is linked.
#[test]
fn the_core_compiles_without_features() {
    let target = root().join("target").join("layers");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(target, |t| PathBuf::from(t).join("layers"));
    let checked =
        cargo(&["check", "--no-default-features", "--lib", "--quiet", "--target-dir", target.to_str().unwrap()]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
