//! Texts from outside in a page: no character of theirs is markup or steers how others are shown.

/// Whether a character steers: control characters, and those that change direction or are not seen.
pub(super) fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// A text for element content and attributes: markup escaped, what steers written out as `⟨U+202E⟩`.
pub(super) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if steers(c) => out.push_str(&format!("⟨U+{:04X}⟩", c as u32)),
            c => out.push(c),
        }
    }
    out
}

/// A text that keeps its direction to itself.
pub(super) fn isolated(of: &str) -> String {
    format!("<bdi>{}</bdi>", text(of))
}

/// A text of several lines, such as a rule: line breaks and tabs stay.
pub(super) fn block(of: &str) -> String {
    let lines = of.split('\n').map(|line| {
        let parts: Vec<String> = line.trim_end_matches('\r').split('\t').map(text).collect();
        parts.join("\t")
    });
    lines.collect::<Vec<_>>().join("\n")
}
