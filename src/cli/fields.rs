//! `fineprint fields`: the field table of the usage event.

use std::io::Write;

use serde_json::json;

use super::Format;
use super::exit::Exit;
use super::terminal::{output, table};
use crate::event::{FIELDS, Field};
use crate::value::Type;

/// Prints the fields that rules may read
#[derive(Debug, clap::Args)]
pub(super) struct Fields {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Fields {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let mut out = output();
        match self.format {
            Format::Json => {
                let rows: Vec<_> = FIELDS.iter().map(row).collect();
                crate::cli::terminal::write_json(&mut out, &rows)?;
                writeln!(out)?;
            }
            Format::Text => {
                let mut table = table(&["FIELD", "JSON KEY", "TYPE", "PRIVACY", "MEANING"]);
                for f in FIELDS.iter() {
                    table.add_row([f.name, f.json, &type_word(&f.ty), f.privacy.word(), f.doc]);
                }
                writeln!(out, "{table}")?;
            }
        }
        out.flush()?;
        Ok(Exit::Fine)
    }
}

fn row(f: &Field) -> serde_json::Value {
    json!({ "name": f.name, "json": f.json, "type": type_word(&f.ty), "privacy": f.privacy.word(), "meaning": f.doc })
}

fn type_word(ty: &Type) -> String {
    match ty {
        Type::List(of) => format!("list of {}", of.keyword()),
        ty => ty.keyword().to_string(),
    }
}
