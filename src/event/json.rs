//! Reads JSON text strictly, token by token, borrowing from it. Knows nothing of events: what a key means is the caller's.
//!
//! Strict means: what two readers could understand differently is refused, never repaired. Duplicate keys at any depth,
//! whole numbers beyond 64 bits, lone surrogates, raw control characters, `NaN` and everything after the value are faults.

use std::borrow::Cow;

/// How deep lists and objects may be nested, counted in brackets.
pub const DEPTH_MAX: usize = 64;

/// What is wrong with a JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Not JSON here; holds what would have been.
    Expected(&'static str),
    /// `NaN`, `Infinity` or `-Infinity`.
    NotANumber,
    /// A whole number that 64 bits cannot hold.
    NumberRange,
    /// `\ud800` without its other half.
    LoneSurrogate,
    /// Nested deeper than [`DEPTH_MAX`].
    TooDeep,
    /// A key that its object holds twice.
    DuplicateKey(String),
    /// Something after the end of the value.
    Trailing,
}

/// A fault and the byte at which it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// What is wrong.
    pub fault: Fault,
    /// Offset in bytes from the start of the text.
    pub at: usize,
}

/// A JSON number as written. Whole numbers (no point, no exponent) are already read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number<'a> {
    /// The number's text.
    pub text: &'a str,
    whole: Option<Whole>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Whole {
    negative: bool,
    magnitude: u64,
}

impl<'a> Number<'a> {
    /// Reads a text that holds a JSON number and nothing else.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut scanner = Scanner::new(text);
        let number = scanner.number().ok()?;
        scanner.end().ok()?;
        Some(number)
    }

    /// A whole number that no record holds: a count of something in it.
    pub fn from_count(n: u64) -> Self {
        Number { text: "", whole: Some(Whole { negative: false, magnitude: n }) }
    }

    /// Whether it was written without point and exponent.
    pub fn is_whole(&self) -> bool {
        self.whole.is_some()
    }

    /// The value of a whole number of 64 bits with sign.
    pub fn as_i64(&self) -> Option<i64> {
        let whole = self.whole?;
        if whole.negative { 0i64.checked_sub_unsigned(whole.magnitude) } else { i64::try_from(whole.magnitude).ok() }
    }

    /// The value of a whole number of 64 bits without sign.
    pub fn as_u64(&self) -> Option<u64> {
        self.whole.filter(|w| !w.negative || w.magnitude == 0).map(|w| w.magnitude)
    }

    /// The number times ten to the `places`, rounded half to even; `None` past 64 bits. Works on the digits, so that no
    /// binary fraction comes between: `0.1` with six places is exactly 100,000.
    pub fn scaled(&self, places: u32) -> Option<i64> {
        if self.whole.is_some() {
            return self.as_i64()?.checked_mul(10i64.checked_pow(places)?);
        }
        scaled_digits(self.text, places)
    }
}

/// See [`Number::scaled`]; `text` is a well-formed JSON number.
fn scaled_digits(text: &str, places: u32) -> Option<i64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    // An exponent that no i64 holds is far past any digit of a bounded text: its sign is all that matters.
    let extreme = if exponent.starts_with('-') { i64::MIN / 4 } else { i64::MAX / 4 };
    let exponent = exponent.parse::<i64>().map_or(extreme, |e| e.clamp(i64::MIN / 4, i64::MAX / 4));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let shift = exponent + i64::from(places) - i64::try_from(part.len()).ok()?;
    let mut digits = whole.bytes().chain(part.bytes()).map(|b| b.wrapping_sub(b'0')).skip_while(|d| *d == 0);
    let n_digits = i64::try_from(digits.clone().count()).ok()?;
    if n_digits == 0 || n_digits + shift < 0 {
        return Some(0);
    }
    let n_kept = n_digits + shift.min(0);
    if n_kept + shift.max(0) > 19 {
        return None;
    }
    let mut n = 0i128;
    for digit in digits.by_ref().take(usize::try_from(n_kept).ok()?) {
        n = n * 10 + i128::from(digit);
    }
    n *= 10i128.pow(u32::try_from(shift.max(0)).ok()?);
    let first_cut = digits.next().unwrap_or(0);
    let more = digits.any(|d| d != 0);
    if first_cut > 5 || (first_cut == 5 && (more || n % 2 == 1)) {
        n += 1;
    }
    i64::try_from(if negative { -n } else { n }).ok()
}

/// A JSON value as a tree, for records whose shape is not ours.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree<'a> {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number as written.
    Number(Number<'a>),
    /// A text, without its escapes.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Tree<'a>>),
    /// An object, its keys in the order written, no key twice.
    Object(Vec<(Cow<'a, str>, Tree<'a>)>),
}

impl<'a> Tree<'a> {
    /// Reads a whole text. Values of the keys that `skip` names (at any depth) are checked but not kept: they become `null`.
    pub fn parse(text: &'a str, skip: &dyn Fn(&str) -> bool) -> Scanned<Self> {
        let mut scanner = Scanner::new(text);
        let tree = scanner.tree(0, skip)?;
        scanner.end()?;
        Ok(tree)
    }

    /// The value of a key of an object.
    pub fn get(&self, key: &str) -> Option<&Tree<'a>> {
        match self {
            Tree::Object(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The kind of value, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Tree::Null => "`null`",
            Tree::Bool(_) => "a truth value",
            Tree::Number(_) => "a number",
            Tree::Text(_) => "text",
            Tree::List(_) => "a list",
            Tree::Object(_) => "an object",
        }
    }
}

/// A position in a JSON text.
#[derive(Debug, Clone)]
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// Faults are rare and large, results small and many: a boxed fault lets results travel in registers.
type Scanned<T> = Result<T, Box<JsonError>>;

impl<'a> Scanner<'a> {
    /// Starts at the first byte.
    pub fn new(text: &'a str) -> Self {
        Scanner { text, at: 0 }
    }

    /// The offset in bytes.
    #[inline]
    pub fn at(&self) -> usize {
        self.at
    }

    /// The text from here on.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Moves on by bytes that the caller has compared with [`Scanner::rest`].
    #[inline]
    pub fn advance(&mut self, n_bytes: usize) {
        self.at += n_bytes;
    }

    /// The byte here.
    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// A fault at this position.
    #[cold]
    pub fn fault(&self, fault: Fault) -> Box<JsonError> {
        Box::new(JsonError { fault, at: self.at })
    }

    /// Skips white space, of which machine-written lines have none or one.
    #[inline]
    pub fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Takes one byte of punctuation.
    #[inline]
    pub fn expect(&mut self, byte: u8, name: &'static str) -> Scanned<()> {
        if self.peek() != Some(byte) {
            return Err(self.unexpected(name));
        }
        self.at += 1;
        Ok(())
    }

    /// The fault of finding something else than `expected` here.
    #[cold]
    pub fn unexpected(&self, expected: &'static str) -> Box<JsonError> {
        let rest = self.rest();
        let rest = rest.strip_prefix(b"-").unwrap_or(rest);
        let not_a_number = [b"NaN".as_slice(), b"nan", b"Infinity", b"inf"].iter().any(|word| rest.starts_with(word));
        self.fault(if not_a_number { Fault::NotANumber } else { Fault::Expected(expected) })
    }

    /// Checks that only white space is left.
    pub fn end(&mut self) -> Scanned<()> {
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.fault(Fault::Trailing)) }
    }

    /// After an entry of an object or list: `true` when another follows, `false` when `close` was taken.
    #[inline]
    pub fn another(&mut self, close: u8, expected: &'static str) -> Scanned<bool> {
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                Ok(true)
            }
            Some(b) if b == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    /// Reads `null`, `true` or `false` when it is here.
    #[inline]
    pub fn word(&mut self, word: &'static str) -> bool {
        let here = self.rest().starts_with(word.as_bytes());
        if here {
            self.at += word.len();
        }
        here
    }

    /// Reads a text without escapes; takes nothing where it is another, or no text at all.
    #[inline]
    pub fn plain_string(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let end = plain_end(bytes, start);
        if bytes.get(self.at) != Some(&b'"') || bytes.get(end) != Some(&b'"') {
            return None;
        }
        self.at = end + 1;
        Some(self.slice(start, end))
    }

    /// Reads a text; borrowed unless it holds escapes.
    pub fn string(&mut self) -> Scanned<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a text in quotes"));
        }
        let start = self.at + 1;
        let end = plain_end(self.text.as_bytes(), start);
        if self.text.as_bytes().get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(Cow::Borrowed(self.slice(start, end)));
        }
        self.string_with_escapes(start, end).map(Cow::Owned)
    }

    fn string_with_escapes(&mut self, start: usize, mut end: usize) -> Scanned<String> {
        let mut out = String::with_capacity((end - start) * 2 + 64);
        out.push_str(self.slice(start, end));
        loop {
            self.at = end;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    let c = self.escape()?;
                    out.push(c);
                }
                Some(_) => {
                    return Err(
                        self.fault(Fault::Expected("no raw control character in a text: write it as an escape"))
                    );
                }
                None => return Err(self.fault(Fault::Expected("a closing quote"))),
            }
            let from = self.at;
            end = plain_end(self.text.as_bytes(), from);
            out.push_str(self.slice(from, end));
        }
    }

    fn escape(&mut self) -> Scanned<char> {
        let letter = self.text.as_bytes().get(self.at + 1).copied();
        let plain = match letter {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.fault(Fault::Expected("an escape that JSON has"))),
        };
        self.at += 2;
        Ok(plain)
    }

    fn unicode_escape(&mut self) -> Scanned<char> {
        let first = self.hex4()?;
        let code = match first {
            0xd800..=0xdbff => {
                let here = self.clone();
                if !self.rest().starts_with(b"\\u") {
                    return Err(here.fault(Fault::LoneSurrogate));
                }
                let second = self.hex4()?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(here.fault(Fault::LoneSurrogate));
                }
                0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            other => other,
        };
        char::from_u32(code).ok_or_else(|| self.fault(Fault::LoneSurrogate))
    }

    fn hex4(&mut self) -> Scanned<u32> {
        let digits = self.text.as_bytes().get(self.at + 2..self.at + 6).unwrap_or_default();
        let value = digits.iter().try_fold(0, |n, d| char::from(*d).to_digit(16).map(|d| n * 16 + d));
        match value {
            Some(value) if digits.len() == 4 => {
                self.at += 6;
                Ok(value)
            }
            _ => Err(self.fault(Fault::Expected("four hexadecimal digits after `\\u`"))),
        }
    }

    /// Passes over a text without building it; every escape is still checked.
    fn skip_string(&mut self) -> Scanned<()> {
        self.string().map(drop)
    }

    /// Reads a whole number of up to 18 digits without sign, which most are; takes nothing where it is another.
    #[inline]
    pub fn short_whole(&mut self) -> Option<i64> {
        let mut n = 0i64;
        let mut n_digits = 0;
        let rest = self.rest();
        while let Some(digit @ b'0'..=b'9') = rest.get(n_digits) {
            n = n.wrapping_mul(10).wrapping_add(i64::from(*digit - b'0'));
            n_digits += 1;
            if n_digits > 18 {
                return None;
            }
        }
        let leading_zero = n_digits > 1 && rest.first() == Some(&b'0');
        if n_digits == 0 || leading_zero || matches!(rest.get(n_digits), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        self.at += n_digits;
        Some(n)
    }

    /// Reads a number.
    #[inline]
    pub fn number(&mut self) -> Scanned<Number<'a>> {
        let start = self.at;
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let first = self.at;
        let mut magnitude = 0u64;
        let mut fits = true;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            match magnitude.checked_mul(10).and_then(|m| m.checked_add(u64::from(digit - b'0'))) {
                Some(m) => magnitude = m,
                None => fits = false,
            }
            self.at += 1;
        }
        if self.at == first {
            self.at = start;
            return Err(self.unexpected("a value"));
        }
        if self.at > first + 1 && self.text.as_bytes().get(first) == Some(&b'0') {
            self.at = start;
            return Err(self.fault(Fault::Expected("a number without leading zeros")));
        }
        if let Some(b'.' | b'e' | b'E') = self.peek() {
            self.fraction()?;
            return Ok(Number { text: self.slice(start, self.at), whole: None });
        }
        if !fits || (negative && magnitude > i64::MIN.unsigned_abs()) {
            self.at = start;
            return Err(self.fault(Fault::NumberRange));
        }
        Ok(Number { text: self.slice(start, self.at), whole: Some(Whole { negative, magnitude }) })
    }

    fn fraction(&mut self) -> Scanned<()> {
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits("a digit after the point")?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits("a digit in the exponent")?;
        }
        Ok(())
    }

    fn digits(&mut self, expected: &'static str) -> Scanned<()> {
        let first = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == first { Err(self.fault(Fault::Expected(expected))) } else { Ok(()) }
    }

    /// Passes over any value, as strictly as if it were wanted; `depth` is the number of brackets already open.
    pub fn skip_value(&mut self, depth: usize) -> Scanned<()> {
        match self.peek() {
            Some(b'"') => self.skip_string(),
            Some(b'{') => {
                self.open(depth)?;
                let mut keys = Vec::new();
                self.entries(|scanner, key| {
                    keys.push(key);
                    scanner.skip_value(depth + 1)
                })?;
                self.refuse_duplicates(keys)
            }
            Some(b'[') => {
                self.open(depth)?;
                self.items(|scanner| scanner.skip_value(depth + 1))
            }
            Some(b't' | b'f' | b'n') if self.word("true") || self.word("false") || self.word("null") => Ok(()),
            _ => self.number().map(drop),
        }
    }

    fn tree(&mut self, depth: usize, skip: &dyn Fn(&str) -> bool) -> Scanned<Tree<'a>> {
        if depth == 0 {
            self.skip_space();
        }
        Ok(match self.peek() {
            Some(b'"') => Tree::Text(self.string()?),
            Some(b'{') => {
                self.open(depth)?;
                let mut entries = Vec::new();
                self.entries(|scanner, key| {
                    let value = if skip(&key) {
                        scanner.skip_value(depth + 1)?;
                        Tree::Null
                    } else {
                        scanner.tree(depth + 1, skip)?
                    };
                    entries.push((key, value));
                    Ok(())
                })?;
                self.refuse_duplicates(entries.iter().map(|(k, _)| Cow::Borrowed(k.as_ref())).collect())?;
                Tree::Object(entries)
            }
            Some(b'[') => {
                self.open(depth)?;
                let mut items = Vec::new();
                self.items(|scanner| {
                    items.push(scanner.tree(depth + 1, skip)?);
                    Ok(())
                })?;
                Tree::List(items)
            }
            Some(b't' | b'f' | b'n') => {
                if self.word("true") {
                    Tree::Bool(true)
                } else if self.word("false") {
                    Tree::Bool(false)
                } else if self.word("null") {
                    Tree::Null
                } else {
                    return Err(self.unexpected("a value"));
                }
            }
            _ => Tree::Number(self.number()?),
        })
    }

    /// Takes the opening bracket of a list or object.
    fn open(&mut self, depth: usize) -> Scanned<()> {
        if depth >= DEPTH_MAX {
            return Err(self.fault(Fault::TooDeep));
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    fn entries(&mut self, mut each: impl FnMut(&mut Self, Cow<'a, str>) -> Scanned<()>) -> Scanned<()> {
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let key = self.key()?;
            each(self, key)?;
            if !self.another(b'}', "`,` or `}`")? {
                return Ok(());
            }
        }
    }

    /// Reads a key and its colon, and the space after it.
    pub fn key(&mut self) -> Scanned<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a key in quotes"));
        }
        let key = self.string()?;
        self.skip_space();
        self.expect(b':', "`:` after the key")?;
        self.skip_space();
        Ok(key)
    }

    /// Reads the items of a list whose bracket was taken, up to and with the closing one.
    pub fn items(&mut self, mut each: impl FnMut(&mut Self) -> Scanned<()>) -> Scanned<()> {
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            each(self)?;
            if !self.another(b']', "`,` or `]`")? {
                return Ok(());
            }
        }
    }

    /// A fault when one key stands twice. Sorting keeps it linear but for a logarithm, whatever keys a stranger sends.
    pub fn refuse_duplicates(&self, mut keys: Vec<Cow<'_, str>>) -> Scanned<()> {
        keys.sort_unstable();
        match keys.array_windows().find(|[a, b]| a == b) {
            None => Ok(()),
            Some([key, _]) => Err(self.fault(Fault::DuplicateKey(key.to_string()))),
        }
    }

    /// Part of the text between two offsets that both stand beside ASCII bytes.
    #[inline]
    fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }
}

const ONES: u64 = u64::MAX / 255;
const HIGHS: u64 = ONES << 7;

/// Marks (in the high bit of its byte) the first byte that ends a plain run of text: a quote, a backslash or a control
/// character. Bits above the first may be wrong, as a borrow runs upward.
#[inline]
fn marks(word: u64) -> u64 {
    let zero_in = |x: u64| x.wrapping_sub(ONES) & !x;
    let quote = zero_in(word ^ (ONES * b'"' as u64));
    let backslash = zero_in(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGHS
}

/// Offset of the first byte at or after `from` that is a quote, a backslash or a control character; the length if none.
/// Short texts end within the first words; long ones are passed 32 bytes at a time, in a form that compilers vectorise.
#[inline]
fn plain_end(bytes: &[u8], from: usize) -> usize {
    const WORDS_FIRST: usize = 4;
    let mut at = from;
    let mut rest = bytes.get(from..).unwrap_or_default();
    for _ in 0..WORDS_FIRST {
        let Some((word, after)) = rest.split_first_chunk::<8>() else { return plain_end_tail(rest, at) };
        let found = marks(u64::from_le_bytes(*word));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
        rest = after;
    }
    plain_end_long(rest, at)
}

fn plain_end_long(mut rest: &[u8], mut at: usize) -> usize {
    while let Some((chunk, after)) = rest.split_first_chunk::<32>() {
        let any = chunk.iter().fold(false, |any, b| any | (*b == b'"') | (*b == b'\\') | (*b < 0x20));
        if any {
            break;
        }
        at += 32;
        rest = after;
    }
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        let found = marks(u64::from_le_bytes(*word));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
        rest = after;
    }
    plain_end_tail(rest, at)
}

fn plain_end_tail(rest: &[u8], at: usize) -> usize {
    at + rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len())
}
