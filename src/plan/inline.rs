//! Lists whose values stand in the rule file or in a test.

use crate::hir::Const;
use crate::reference::{ListData, Row};
use crate::template::FingerprintKey;
use crate::value::{Type, write_number};

/// A list of constants, valid always; texts in a list of fingerprints are fingerprinted under the key.
///
/// # Errors
/// A text, where a constant does not fit the type.
pub fn list_of<'a>(
    ty: &Type,
    values: impl IntoIterator<Item = &'a Const>,
    key: &FingerprintKey,
) -> Result<ListData, String> {
    let rows = values.into_iter().map(|c| Row { value: text(ty, c), ..Row::default() }).collect();
    ListData::build_under(ty.clone(), rows, key).map_err(|e| e.to_string())
}

/// A constant as a list file would hold it.
fn text(ty: &Type, c: &Const) -> String {
    match c {
        Const::Bool(b) => b.to_string(),
        Const::Text(t) => t.clone(),
        Const::Ip(ip) => ip.to_string(),
        Const::Net(net) => net.to_string(),
        Const::Num(n) => {
            let mut text = String::new();
            // Writing to a String cannot fail.
            let _ = write_number(&mut text, ty, *n);
            text
        }
    }
}
