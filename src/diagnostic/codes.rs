//! The registry of diagnostic codes. A code is given once and never reused; each has a page in `docs/codes/` (printed by
//! `fineprint explain CODE`) and at least one golden file in `tests/data/diagnostics/`.
//!
//! 01xx words and grammar · 02xx names · 03xx types and units · 04xx sections of a rule · 05xx lists and tables ·
//! 06xx policies and clauses · 07xx costs and limits · 08xx not evaluated by this version · 09xx advice

use super::Level;

/// Index into the registry, in order of the codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u16);

struct Entry {
    id: &'static str,
    level: Level,
    title: &'static str,
    page: &'static str,
}

macro_rules! codes {
    ($($name:ident $id:literal $level:ident $title:literal;)*) => {
        #[expect(non_camel_case_types, reason = "only used to number the codes")]
        enum Number { $($name),* }

        impl Code {
            $(#[doc = $title] pub const $name: Code = Code(Number::$name as u16);)*
        }

        static REGISTRY: &[Entry] = &[$(Entry {
            id: $id,
            level: Level::$level,
            title: $title,
            page: include_str!(concat!("../../docs/codes/", $id, ".md")),
        }),*];
    };
}

codes! {
    // 01xx words and grammar
    STRAY_CHARACTER "TOS0101" Error "a character that no word of the language can hold";
    UNCLOSED_TEXT "TOS0102" Error "a quoted text without its closing quote";
    BAD_ESCAPE "TOS0103" Error "an unknown escape in a quoted text";
    BAD_NUMBER "TOS0104" Error "a number that cannot be read";
    NOT_UTF8 "TOS0105" Error "a rule file that is not UTF-8 text";
    NUL_BYTE "TOS0106" Error "a NUL byte in a rule file";
    LINE_TOO_LONG "TOS0107" Error "a line longer than the limit";
    NESTED_TOO_DEEPLY "TOS0108" Error "expressions nested deeper than the limit";
    FILE_TOO_LARGE "TOS0109" Error "a rule file larger than the limit";
    UNEXPECTED_TOKEN "TOS0110" Error "something else was expected here";
    UNCLOSED_BLOCK "TOS0111" Error "a block without its closing brace";
    MIXED_AND_OR "TOS0112" Error "`and` mixed with `or` without parentheses";
    COMPARISON_CHAIN "TOS0113" Error "a comparison of a comparison";
    SUBTRACTION_WITHOUT_SPACES "TOS0114" Error "a subtraction without spaces";
    BAD_DATE "TOS0115" Error "a date that does not exist";
    UNKNOWN_ITEM "TOS0116" Error "a block that does not begin with a known word";
    UNKNOWN_SECTION "TOS0117" Error "a section that is unknown here";
    TOO_MANY_MISTAKES "TOS0118" Error "more mistakes than are reported in one run";
    // 02xx names
    UNKNOWN_NAME "TOS0201" Error "a name that is neither field, list nor `let`";
    DUPLICATE_NAME "TOS0202" Error "a name that is given twice";
    UNKNOWN_LIST "TOS0203" Error "a list that is not declared";
    UNKNOWN_KIND "TOS0204" Error "an unknown kind of event";
    UNKNOWN_COLUMN "TOS0205" Error "a column that the table does not declare";
    UNKNOWN_FUNCTION "TOS0206" Error "an unknown function or aggregate";
    LET_CYCLE "TOS0207" Error "`let`s that refer to each other in a circle";
    UNKNOWN_RULE "TOS0208" Error "a rule that is not declared";
    RESERVED_NAME "TOS0209" Error "a name that already means something";
    UNKNOWN_PLACEHOLDER "TOS0210" Error "a placeholder in a text that stands for nothing";
    UNKNOWN_WORD "TOS0211" Error "an unknown severity, mode, confidence or type";
    CONTENT_IN_TEXT "TOS0212" Error "the text of a prompt in the text of a finding";
    // 03xx types and units
    TYPE_MISMATCH "TOS0301" Error "a value of another type than its place needs";
    UNIT_MISMATCH "TOS0302" Error "a comparison of unlike units";
    NOT_A_CONDITION "TOS0303" Error "a value where a condition is needed";
    BAD_COUNTRY "TOS0304" Error "a country that is not two capital letters";
    BAD_NETWORK "TOS0305" Error "an address or network that cannot be read";
    BAD_REGEX "TOS0306" Error "a regular expression that cannot be read";
    WRONG_ARGUMENTS "TOS0307" Error "a function called with the wrong arguments";
    AGGREGATE_HERE "TOS0308" Error "an aggregate where single events are tested";
    EVENT_VALUE_HERE "TOS0309" Error "a value of single events where a window is judged";
    SEVERAL_VALUES "TOS0310" Error "several values of one event where one is needed";
    // 04xx sections of a rule
    MISSING_SECTION "TOS0401" Error "a section that every rule needs";
    REPEATED_SECTION "TOS0402" Error "a section that may stand only once";
    SECTION_ORDER "TOS0403" Error "a section out of order";
    SECTION_CONFLICT "TOS0404" Error "sections that do not go together";
    BAD_WINDOW "TOS0405" Error "a window or step that does not work";
    BLOCK_NEEDS_REVIEW "TOS0406" Error "a block without review on a rule that is judged only at the end of a step";
    BAD_TEST "TOS0407" Error "a test that cannot be run";
    BAD_DATES "TOS0408" Error "an end that lies before its beginning";
    BAD_LIMIT "TOS0409" Error "a limit that cannot be kept when a call arrives";
    NOTHING_BEFORE "TOS0410" Error "earlier windows of groups that have none";
    // 05xx lists and tables
    LIST_FILE_MISSING "TOS0501" Error "a list file that is not there";
    LIST_FILE_MALFORMED "TOS0502" Error "a list file that cannot be read";
    LIST_FILE_TOO_LARGE "TOS0503" Error "a list file larger than the limit";
    LIST_VALUE "TOS0504" Error "a value of a list that does not fit its type";
    // 06xx policies and clauses
    UNKNOWN_CLAUSE "TOS0601" Error "a clause that no policy declares";
    CLAUSE_PERMITS "TOS0602" Error "a rule that enforces a permission";
    NO_CLAUSE "TOS0603" Error "a rule that enforces no clause";
    CLAUSE_EXPIRED "TOS0604" Warning "a clause that is no longer in force";
    // 07xx costs and limits
    REGEX_TOO_COSTLY "TOS0701" Error "a regular expression over its budget";
    RULE_TOO_COSTLY "TOS0702" Error "a rule over its budget";
    TOO_MANY "TOS0703" Error "more of something than the limit allows";
    // 08xx not evaluated by this version
    NOT_EVALUATED "TOS0801" Error "a construct that this version does not evaluate";
    // 09xx advice
    REGEX_WITHOUT_LITERAL "TOS0901" Warning "a regular expression that must look at every text";
    UNUSED_LET "TOS0902" Warning "a `let` that nothing uses";
    EXCEPTION_EXPIRES "TOS0903" Warning "an exception that has expired or will soon";
    RULE_WITHOUT_TEST "TOS0904" Warning "a rule without a firing and a silent test";
    NEVER_TRUE "TOS0905" Warning "a condition that can never hold";
}

impl Code {
    fn entry(self) -> Option<&'static Entry> {
        REGISTRY.get(usize::from(self.0))
    }

    /// As printed: `TOS0101`.
    pub fn id(self) -> &'static str {
        self.entry().map_or("", |e| e.id)
    }

    /// Error or warning.
    pub fn level(self) -> Level {
        self.entry().map_or(Level::Error, |e| e.level)
    }

    /// What it is about, in one line.
    pub fn title(self) -> &'static str {
        self.entry().map_or("", |e| e.title)
    }

    /// The page that `fineprint explain` prints, Markdown.
    pub fn page(self) -> &'static str {
        self.entry().map_or("", |e| e.page)
    }

    /// The code printed as `id`, in either case.
    pub fn from_id(id: &str) -> Option<Code> {
        Code::all().find(|c| c.id().eq_ignore_ascii_case(id))
    }

    /// All codes in order.
    pub fn all() -> impl Iterator<Item = Code> {
        (0..REGISTRY.len()).map(|i| Code(i as u16))
    }
}
