//! Packs from disk: rule files, and list, table and registry files that are missing, malformed or too large.

use std::path::Path;

use fineprint::diagnostic::{has_errors, to_text};
use fineprint::pack::{Pack, PackError, PackOptions, load};
use fineprint::template::FingerprintKey;

use crate::golden;

const HEAD: &str = r#"policy acme.terms version 2025-09-15 {
  clause region at "2" "Service is for supported regions."
}
"#;

const RULE: &str = r#"
rule from-unsupported {
  enforces acme.terms.region
  severity low
  mode     shadow
  on       completion where country in unsupported
  because  "a call from {country}"
  test "fires"  { given 1 completion { country: "CN" } expect violation }
  test "silent" { given 1 completion { country: "DE" } expect nothing }
}
"#;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.write("rules/a-policy.tos", HEAD);
        folder
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }

    fn load(&self) -> Result<Pack, PackError> {
        let (rules, lists, accounts) =
            (self.0.path().join("rules"), self.0.path().join("lists"), self.0.path().join("accounts.jsonl"));
        load(&PackOptions {
            rules: &rules,
            lists: lists.is_dir().then_some(lists.as_path()),
            accounts: accounts.is_file().then_some(accounts.as_path()),
            as_of: None,
            fingerprint_key: FingerprintKey::PUBLIC,
        })
    }

    /// Diagnostics as text, without the name of the folder.
    fn said(&self) -> String {
        let pack = self.load().unwrap();
        assert!(has_errors(&pack.diagnostics), "no mistake was found");
        assert!(pack.rules.is_none(), "rules with mistakes are not usable");
        to_text(&pack.diagnostics, &pack.sources, false).replace(&self.0.path().display().to_string(), "DIR")
    }
}

fn check(name: &str, folder: &Folder) {
    golden::check(&golden::data("packs").join(Path::new(name).with_extension("out")), &folder.said());
}

fn rule(list: &str) -> String {
    format!("{list}\n{RULE}")
}

#[test]
fn list_file_missing() {
    let folder = Folder::new();
    folder.write("rules/b.tos", rule("list unsupported : country from \"lists/unsupported.csv\""));
    folder.write("lists/other.csv", "CN\n");
    check("tos0501-list-file-missing", &folder);
}

#[test]
fn list_file_malformed() {
    let folder = Folder::new();
    folder.write("rules/b.tos", rule("list unsupported : country from \"unsupported.csv\" column \"code\""));
    folder.write("rules/unsupported.csv", "country,since\nCN,2025-01-01\n");
    check("tos0502-list-file-malformed", &folder);
}

#[test]
fn list_file_of_no_known_kind() {
    let folder = Folder::new();
    folder.write("rules/b.tos", rule("list unsupported : country from \"unsupported.xlsx\""));
    folder.write("rules/unsupported.xlsx", "CN\n");
    check("tos0502-list-file-kind", &folder);
}

#[test]
fn list_file_too_large() {
    let folder = Folder::new();
    folder.write("rules/b.tos", rule("list unsupported : country from \"unsupported.txt\""));
    folder.write("rules/unsupported.txt", "");
    // A file with a hole: large, but nothing on the disk.
    let file = std::fs::File::options().write(true).open(folder.0.path().join("rules/unsupported.txt")).unwrap();
    file.set_len(fineprint::reference::LIST_FILE_BYTES_MAX + 1).unwrap();
    check("tos0503-list-file-too-large", &folder);
}

#[test]
fn list_value_of_another_type() {
    let folder = Folder::new();
    folder.write("rules/b.tos", rule("list unsupported : country from \"unsupported.txt\""));
    folder.write("rules/unsupported.txt", "# countries\nCN\nGermany\n");
    check("tos0504-list-value", &folder);
}

const TEMPLATES: &str = "list unsupported : country = [\"CN\"]\nlist templates : fingerprint from \"templates.csv\"";

#[test]
fn list_of_another_key() {
    let folder = Folder::new();
    folder.write("rules/b.tos", rule(TEMPLATES));
    let other = FingerprintKey::new([7; 16], 3).named();
    folder.write("rules/templates.csv", format!("{other}\nfingerprint,words,prompts\n26b4263490b02624,8,40\n"));
    check("tos0502-list-file-of-another-key", &folder);
    let ours = FingerprintKey::PUBLIC.named();
    folder.write("rules/templates.csv", format!("{ours}\nfingerprint,words,prompts\n26b4263490b02624,8,40\n"));
    let pack = folder.load().unwrap();
    assert!(pack.rules.as_ref().unwrap().data().lists.iter().any(|l| l.texts().eq(["26b4263490b02624"])));
}

#[test]
fn list_text_too_short_for_a_template() {
    let folder = Folder::new();
    folder.write("rules/b.tos", rule(TEMPLATES));
    folder.write("rules/templates.csv", "fingerprint\n\"Act as a Linux terminal\"\n");
    check("tos0504-list-text-too-short", &folder);
}

/// A quoted text in a file is every run of eight and of five words in it.
#[test]
fn list_texts_are_fingerprinted() {
    let folder = Folder::new();
    folder.write("rules/b.tos", rule(TEMPLATES));
    folder.write("rules/templates.csv", "fingerprint\n\"one two, three four five six seven eight nine\"\n");
    let lists = folder.load().unwrap().rules.unwrap().data().lists.iter().map(|l| l.len()).collect::<Vec<_>>();
    assert_eq!(lists, [1, 2 + 5]);
}

#[test]
fn all_files_with_mistakes_are_reported_in_one_run() {
    let folder = Folder::new();
    folder.write("rules/b.tos", rule("list unsupported : country from \"nowhere.csv\""));
    folder.write("rules/c.tos", b"rule \xff\xfe");
    folder.write("rules/sub/d.tos", "let x = ");
    let said = folder.said();
    for part in ["TOS0501", "TOS0105", "DIR/rules/b.tos", "DIR/rules/c.tos", "DIR/rules/sub/d.tos"] {
        assert!(said.contains(part), "{part} is missing in\n{said}");
    }
}

#[test]
fn the_lists_directory_comes_first() {
    let folder = Folder::new();
    folder.write("rules/b.tos", rule("list unsupported : country from \"lists/unsupported.txt\""));
    folder.write("rules/lists/unsupported.txt", "CN\n");
    let beside = folder.load().unwrap();
    folder.write("lists/unsupported.txt", "CN\nRU\n");
    let named = folder.load().unwrap();
    let n = |p: &Pack| p.rules.as_ref().unwrap().data().lists[0].len();
    assert_eq!((n(&beside), n(&named)), (1, 2));
    assert_ne!(beside.pins.lists, named.pins.lists);
    assert_eq!(beside.pins.rules, named.pins.rules);
    assert_eq!(beside.pins.registry, named.pins.registry);
}

#[test]
fn layout_is_no_part_of_the_pins() {
    let folder = Folder::new();
    folder.write("rules/b.tos", rule("list unsupported : country = [\"CN\"]"));
    let before = folder.load().unwrap();
    folder.write("rules/b.tos", format!("# a remark\n{}", rule("list   unsupported : country = [ \"CN\" ]")));
    let after = folder.load().unwrap();
    assert_eq!(before.pins, after.pins);
    folder.write("rules/b.tos", rule("list unsupported : country = [\"CN\"]").replace("severity low", "severity high"));
    assert_ne!(before.pins.rules, folder.load().unwrap().pins.rules);
}

#[test]
fn a_registry_with_a_mistake_names_its_line() {
    let folder = Folder::new();
    folder.write("accounts.jsonl", "{\"account\":\"a\",\"plan\":\"free\"}\n{\"account\":");
    let error = folder.load().unwrap_err().to_string();
    assert!(error.contains("accounts.jsonl") && error.contains(":2"), "{error}");
}

#[test]
fn a_folder_without_rules_is_an_error() {
    let folder = Folder(tempfile::tempdir().unwrap());
    folder.write("rules/readme.md", "no rules");
    assert!(matches!(folder.load(), Err(PackError::NoRules(_))));
}
