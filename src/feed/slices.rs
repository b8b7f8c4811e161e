//! Members of objects and items of lists as slices of the JSON text they stand in, for what is read part by part. As strict
//! as the decoder: what is passed over is checked.

use std::borrow::Cow;

use crate::event::decode::Read;
use crate::event::json::{Fault, Scanner};

/// Keys of an object with the text of each value.
pub(super) fn members(text: &str) -> Read<Vec<(Cow<'_, str>, &str)>> {
    let mut scanner = Scanner::new(text);
    scanner.skip_space();
    scanner.expect(b'{', "`{`")?;
    scanner.skip_space();
    let mut members = Vec::new();
    if scanner.peek() == Some(b'}') {
        scanner.advance(1);
        scanner.end()?;
        return Ok(members);
    }
    loop {
        let key = scanner.key()?;
        let from = scanner.at();
        scanner.skip_value(1)?;
        members.push((key, text.get(from..scanner.at()).unwrap_or_default()));
        if !scanner.another(b'}', "`,` or `}`")? {
            break;
        }
    }
    scanner.end()?;
    scanner.refuse_duplicates(members.iter().map(|(key, _)| Cow::Borrowed(key.as_ref())).collect())?;
    Ok(members)
}

/// The texts of the items of a list, at most `most` of them; more are a fault of the list.
pub(super) fn items(text: &str, most: usize) -> Read<Vec<&str>> {
    let mut scanner = Scanner::new(text);
    scanner.skip_space();
    scanner.expect(b'[', "`[`")?;
    scanner.skip_space();
    let mut found = Vec::new();
    scanner.items(|scanner| {
        if found.len() == most {
            return Err(scanner.fault(Fault::Expected("fewer items")));
        }
        let from = scanner.at();
        scanner.skip_value(1)?;
        found.push(text.get(from..scanner.at()).unwrap_or_default());
        Ok(())
    })?;
    scanner.end()?;
    Ok(found)
}
