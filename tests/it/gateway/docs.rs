//! The page of gateways shows the files that CI runs, not copies that grow old.

use std::path::Path;

/// Text blocks of the page with the file each comes from.
fn shown(page: &str) -> Vec<(String, Vec<String>)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(path) = line.strip_prefix("<!-- from ").and_then(|l| l.strip_suffix(" -->")) {
            assert!(lines.next().unwrap().starts_with("```"), "{path}: no block follows");
            blocks.push((path.to_owned(), lines.by_ref().take_while(|l| *l != "```").map(str::to_owned).collect()));
        }
    }
    blocks
}

/// Whether these lines stand in the file one after the other, all with the same white space before them.
fn stands_in(part: &[String], file: &str) -> bool {
    let lines: Vec<&str> = file.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    lines.windows(part.len()).any(|window| {
        let by = indent(window[0]) - indent(&part[0]).min(indent(window[0]));
        window.iter().zip(part).all(|(line, shown)| {
            let cut = if line.trim().is_empty() { line.trim() } else { line.get(by..).unwrap_or("\n") };
            cut == shown
        })
    })
}

#[test]
fn the_page_shows_the_files_that_are_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/gateways.md")).unwrap();
    let blocks = shown(&page);
    for (path, part) in &blocks {
        let file = std::fs::read_to_string(root.join(path)).unwrap();
        assert!(stands_in(part, &file), "docs/gateways.md does not show what stands in {path}");
    }
    let mut folders: Vec<&str> = blocks.iter().filter_map(|(path, _)| path.split('/').nth(2)).collect();
    folders.dedup();
    assert_eq!(folders, ["fineprint.yaml", "litellm", "envoy", "nginx", "caddy", "haproxy", "portkey"]);
}
