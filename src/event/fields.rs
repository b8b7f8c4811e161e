//! The field table of the usage event: the one place that says which fields exist, what they mean and how private they are.

use crate::value::Type;

/// How a field must be treated when it leaves the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Privacy {
    /// Says nothing about a person or a customer.
    Public,
    /// Tells customers apart, but not who they are: ids, keyed hashes.
    Pseudonymous,
    /// Can lead to a person: addresses, precise client strings.
    Personal,
    /// What was said. Never stored by default, only fingerprints and test results are.
    Content,
}

impl Privacy {
    /// The word printed in tables.
    pub fn word(self) -> &'static str {
        match self {
            Privacy::Public => "public",
            Privacy::Pseudonymous => "pseudonymous",
            Privacy::Personal => "personal",
            Privacy::Content => "content",
        }
    }
}

/// How a JSON number becomes the field's number; other types have one form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// The JSON value as its type says; a timestamp is RFC 3339 text.
    Plain,
    /// A number of milliseconds, whole or with decimals, becomes a duration.
    Millis,
}

/// Index of a field in [`FIELDS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldId(pub u8);

/// One column of the usage event.
#[derive(Debug, Clone)]
pub struct Field {
    /// The name in rules.
    pub name: &'static str,
    /// The key in the native JSON; equals the name unless the unit is part of it.
    pub json: &'static str,
    /// The type in rules.
    pub ty: Type,
    /// How the JSON number is read.
    pub form: Form,
    /// How private it is.
    pub privacy: Privacy,
    /// What it means, for authors.
    pub doc: &'static str,
}

macro_rules! ty {
    (list_string) => {
        || Type::List(Box::new(Type::String))
    };
    (list_fingerprint) => {
        || Type::List(Box::new(Type::Fingerprint))
    };
    ($t:ident) => {
        || Type::$t
    };
}

macro_rules! fields {
    ($($id:ident $name:literal $(as $json:literal $form:ident)? : $ty:ident $privacy:ident $doc:literal;)*) => {
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "only used to number the fields")]
        enum Number { $($id),* }

        impl FieldId {
            $(#[doc = $doc] pub const $id: FieldId = FieldId(Number::$id as u8);)*
        }

        /// How many fields there are.
        pub const FIELD_COUNT: usize = [$($name),*].len();

        /// All fields in the order they are documented; a [`FieldId`] is an index into it.
        pub static FIELDS: std::sync::LazyLock<[Field; FIELD_COUNT]> = std::sync::LazyLock::new(|| [$(Field {
            name: $name,
            json: fields!(@json $name $($json)?),
            ty: (ty!($ty))(),
            form: fields!(@form $($form)?),
            privacy: Privacy::$privacy,
            doc: $doc,
        }),*]);

        /// For each field its JSON key as a writer without white space writes it: `"key":`.
        pub(crate) static QUOTED: [&str; FIELD_COUNT] = [$(concat!("\"", fields!(@json $name $($json)?), "\":")),*];

        /// The field with this name in rules.
        pub fn by_name(name: &str) -> Option<FieldId> {
            match name { $($name => Some(FieldId::$id),)* _ => None }
        }

        /// The field with this key in native JSON.
        pub fn by_json(key: &str) -> Option<FieldId> {
            match key { $(fields!(@pat $name $($json)?) => Some(FieldId::$id),)* _ => None }
        }
    };
    (@json $name:literal) => { $name };
    (@json $name:literal $json:literal) => { $json };
    (@pat $name:literal) => { $name };
    (@pat $name:literal $json:literal) => { $json };
    (@form) => { Form::Plain };
    (@form $form:ident) => { Form::$form };
}

fields! {
    // ── identity of the record ──
    ID "id": String Pseudonymous "unique id of the event; the same id twice is one event";
    TS "ts": Timestamp Public "when it happened, by the gateway's clock; decides windows";
    INGEST_TS "ingest_ts": Timestamp Public "when the record was taken in; guards against timestamps in the future";
    SOURCE "source": String Public "the system that wrote the record";
    SEQ "seq": Integer Public "running number per source; gaps show lost records";
    CALL "call": String Pseudonymous "call id that joins the records of one model call (request, completion)";
    // ── what was called ──
    PROVIDER "provider": String Public "provider of the model";
    SERVICE "service": String Public "product or deployment the call went to";
    MODEL "model": String Public "model that was asked for";
    MODEL_VERSION "model_version": String Public "exact version that answered";
    MODEL_RELEASED_AT "model_released_at": Timestamp Public "when the model was released";
    ENDPOINT "endpoint": String Public "path of the API that was called";
    MODALITY "modality": String Public "text, image, audio, embedding";
    // ── who ──
    TENANT "tenant": String Pseudonymous "operator's tenant, where one engine serves several";
    ORG "org": String Pseudonymous "customer organisation";
    ACCOUNT "account": String Pseudonymous "customer account";
    KEY "api_key_id": String Pseudonymous "API key, by its id or a hash, never the key itself";
    USER "user": String Pseudonymous "the customer's end user, hashed";
    ACCOUNT_CREATED "account_created": Timestamp Public "when the account was created, as known at event time";
    PLAN "plan": String Public "plan of the account at event time";
    QUOTA_RPM "quota_rpm": Integer Public "requests per minute the account may send";
    QUOTA_TPM "quota_tpm": Tokens Public "tokens per minute the account may use";
    QUOTA_DAY "quota_day": Integer Public "requests per day the account may send";
    VERIFICATION "verification": String Public "how far the identity was verified";
    RESELLER "reseller": Bool Public "the contract allows serving third parties";
    ORG_COUNTRY "org_country": Country Public "country of the organisation";
    OWNER "owner": String Pseudonymous "reference into the ownership table";
    PAYMENT_FINGERPRINT "payment_fingerprint": Fingerprint Pseudonymous "keyed hash of the payment method";
    BIN_CLASS "bin_class": String Public "class of the card: consumer, corporate, prepaid, virtual";
    BILLING_COUNTRY "billing_country": Country Public "country of the billing address";
    EMAIL_CLASS "email_class": String Public "class of the mail domain: corporate, freemail, disposable, edu";
    SIGNUP_COHORT "signup_cohort": String Pseudonymous "hash of what a sign-up shared with others of the same hour";
    // ── from where ──
    IP "ip": Ip Personal "address of the client";
    COUNTRY "country": Country Public "country of the address";
    ASN "asn": Integer Public "autonomous system of the address";
    NETWORK_CLASS "network_class": String Public "residential, mobile, hosting, vpn, proxy, cgnat";
    DEVICE_FP "device_fp": Fingerprint Pseudonymous "keyed hash of the device";
    TLS_FP "tls_fp": Fingerprint Pseudonymous "fingerprint of the TLS client (JA4 or alike)";
    USER_AGENT "user_agent": String Personal "client string";
    CLIENT_HARNESS "client_harness": String Public "agent or framework the client says it is";
    HEADER_FLAGS "header_flags": list_string Public "headers of note, as the gateway names them";
    ACCEPT_LANGUAGE "accept_language": String Public "language the client asks for";
    // ── conversation ──
    SESSION "session": String Pseudonymous "session";
    CONVERSATION "conversation": String Pseudonymous "conversation";
    TURN "turn": Integer Public "turn within the conversation, from 0";
    PARENT_HASH "parent_hash": Fingerprint Pseudonymous "hash of the conversation up to this turn";
    // ── parameters ──
    N "n": Integer Public "answers asked for";
    TEMPERATURE "temperature": Decimal Public "sampling temperature";
    TOP_P "top_p": Decimal Public "nucleus sampling";
    MAX_TOKENS "max_tokens": Tokens Public "most tokens the caller wants; -1 and 0 are probes";
    LOGPROBS "logprobs": Bool Public "log probabilities were asked for";
    TOP_LOGPROBS "top_logprobs": Integer Public "alternatives per token asked for";
    LOGIT_BIAS_COUNT "logit_bias_count": Integer Public "entries of the logit bias";
    LOGIT_BIAS_HASH "logit_bias_hash": Fingerprint Pseudonymous "hash of the biased token ids";
    SEED "seed": Integer Public "sampling seed";
    RESPONSE_FORMAT "response_format": String Public "text, json_object, json_schema";
    TOOLS "tools": Integer Public "tools offered to the model";
    TOOLS_HASH "tools_hash": Fingerprint Pseudonymous "hash of the tool definitions";
    STREAM "stream": Bool Public "the answer was streamed";
    BATCH "batch": Bool Public "sent through the batch API";
    // ── volume and outcome ──
    INPUT_TOKENS "input_tokens": Tokens Public "tokens read";
    CACHED_TOKENS "cached_tokens": Tokens Public "tokens read from cache";
    OUTPUT_TOKENS "output_tokens": Tokens Public "tokens written, without reasoning";
    REASONING_TOKENS "reasoning_tokens": Tokens Public "tokens of hidden reasoning";
    COST "cost": Money Public "price of the call";
    STATUS "status": Integer Public "HTTP status";
    ERROR_CODE "error_code": String Public "error of the API";
    FINISH_REASON "finish_reason": String Public "why the answer ended";
    REFUSED "refused": Bool Public "the model declined";
    RATE_LIMITED "rate_limited": Bool Public "a rate limit was hit";
    LATENCY "latency" as "latency_ms" Millis: Duration Public "time to the last byte";
    // ── text and its shape ──
    PROMPT "prompt": String Content "what the caller wrote in this turn";
    SYSTEM_PROMPT "system_prompt": String Content "standing instructions of the call";
    COMPLETION "completion": String Content "what the model answered";
    PROMPT_CHARS "prompt_chars": Integer Public "length of the prompt in characters";
    PROMPT_HASH "prompt_hash": Fingerprint Pseudonymous "keyed hash of the whole prompt";
    SYSTEM_PROMPT_HASH "system_prompt_hash": Fingerprint Pseudonymous "keyed hash of the system prompt";
    PREFIX_HASH "prefix_hash": Fingerprint Pseudonymous "keyed hash of all that precedes the preserved reasoning";
    PROMPT_FPS "prompt_fps": list_fingerprint Pseudonymous "winnowed fingerprints of the prompt, 8 words";
    LOOSE_FPS "loose_fps": list_fingerprint Pseudonymous "winnowed fingerprints of the prompt, 5 words";
    PROMPT_SIMHASH "prompt_simhash": Fingerprint Pseudonymous "similarity hash of the prompt, for near-exact replays";
    LANG "lang": String Public "language of the prompt, BCP 47";
    SCRIPT "script": String Public "script of the prompt, ISO 15924";
    REASONING_HASH "reasoning_hash": Fingerprint Pseudonymous "keyed hash of a reasoning blob that came with the call";
    // ── features of classifiers outside the engine ──
    COT_SCORE "cot_score": Decimal Public "asks for the model's reasoning, 0 to 1";
    RUBRIC_SCORE "rubric_score": Decimal Public "asks for graded judgement, 0 to 1";
    COERCION_SCORE "coercion_score": Decimal Public "coerces language or form of the reasoning, 0 to 1";
    EVASION_SCORE "evasion_score": Decimal Public "asks not to be flagged, 0 to 1";
    JAILBREAK_SCORE "jailbreak_score": Decimal Public "tries to bypass safeguards, 0 to 1";
    REWRITE_SCORE "rewrite_score": Decimal Public "asks for censorship-safe rewriting, 0 to 1";
    CLASSIFIER "classifier": String Public "id and version of the classifier behind the scores";
    CAPABILITIES "capabilities": list_string Public "capability tags: coding, tools, reasoning, …";
    SAFETY_CATEGORY "safety_category": String Public "category of a safety hit";
    SAFETY_SCORE "safety_score": Decimal Public "score of the safety hit, 0 to 1";
    PHI "phi": Bool Public "health data was recognised";
    MINOR "minor": Bool Public "a minor was recognised";
    USE_CASE "use_case": String Public "use case the caller declared";
    HUMAN_REVIEW "human_review": Bool Public "a person reviews the output before it takes effect";
    AI_DISCLOSURE "ai_disclosure": Bool Public "the end user was told that it is an AI";
    // ── provenance and permission ──
    PROVENANCE_REMOVED "provenance_removed": Bool Public "provenance data or a watermark was stripped";
    CANARY_IDS "canary_ids": list_string Pseudonymous "canary texts that were recognised";
    AUTHORISATIONS "authorisations": list_string Pseudonymous "authorisations the gateway asserts for the call";
    // ── account and action events ──
    CHANGE "change": String Public "account event: create, verify, ban, unban, plan";
    REASON "reason": String Public "account or action event: why";
    ACTION "action": String Public "action event: what the gateway did: flag, throttle, challenge, block, release";
    ACTOR "actor": String Pseudonymous "account or action event: who did it";
    // ── last, because the numbers of fields stand in journals ──
    FINGERPRINT_EPOCH "fingerprint_epoch": Integer Public "epoch of the key behind prompt_fps and loose_fps; 0 where not told";
}
