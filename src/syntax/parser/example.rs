//! What to write where something is missing: one example that can be pasted for each thing the parser may expect.

/// Things by how the parser calls them, each with what may stand there.
const EXAMPLES: &[(&str, &str)] = &[
    ("a value", "a value stands here, such as `403`, `\"text\"`, `true` or the name of a field"),
    ("`= [ … ]` or `from \"…\"`", "write `= [\"CN\", \"RU\"]`, or `from \"lists/name.csv\"`"),
    ("`nothing`, `violation`, `exempted` or a number", "write `nothing`, `violation`, `2 violations` or `exempted`"),
    ("a name", "write a name of letters, digits, `_` and `-`, such as `many-calls`"),
    ("a name behind the dot", "write the name of a column, such as `account.plan`"),
    ("the name of the rule", "write `rule many-calls {`"),
    ("the number of a column", "columns count from 1: write `column 1`"),
    ("a table", "write the name of a table, such as `account`"),
    ("a column such as `tier : string`, or `}`", "write `tier : string`, or close the table with `}`"),
    ("the type of its values, such as `country`", "write a type, such as `string`, `country`, `cidr` or `integer`"),
    ("the type of the column", "write a type, such as `string`, `country`, `cidr` or `integer`"),
    ("an address in quotes", "write `\"https://example.com/terms\"`"),
    ("the path of a file in quotes", "write `\"lists/name.csv\"`"),
    ("the section of the document in quotes", "write `\"3.1\"`"),
    ("a regular expression in quotes", "write `\"step [0-9]+\"`"),
];

/// The help for something that was expected.
pub(super) fn help(expected: &str) -> String {
    if let Some((_, help)) = EXAMPLES.iter().find(|(what, _)| *what == expected) {
        return (*help).to_string();
    }
    if expected.contains("in quotes") || expected.starts_with("a text") || expected.starts_with("a heading") {
        return "write it between quotes: `\"…\"`".to_string();
    }
    // What stands between backticks may be written as it is.
    let mut quoted: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    quoted.dedup();
    match quoted.split_last() {
        None => format!("{expected} belongs here"),
        Some((only, [])) => format!("write `{only}`"),
        Some((last, rest)) => {
            let rest: Vec<String> = rest.iter().map(|word| format!("`{word}`")).collect();
            format!("write {} or `{last}`", rest.join(", "))
        }
    }
}
