//! One usage event as a gateway would write it.

use serde::Serialize;

/// The keys of the native record, in the order in which they are written. What is not known is left out.
#[derive(Debug, Serialize)]
pub(super) struct Event<'a> {
    pub(super) id: String,
    pub(super) ts: String,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) account: &'a str,
    pub(super) org: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) api_key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    pub(super) plan: &'static str,
    pub(super) account_created: String,
    pub(super) verification: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payment_fingerprint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bin_class: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) billing_country: Option<&'static str>,
    pub(super) email_class: &'static str,
    pub(super) ip: &'a str,
    pub(super) country: &'static str,
    pub(super) asn: i64,
    pub(super) network_class: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) device_fp: Option<String>,
    pub(super) tls_fp: &'static str,
    pub(super) user_agent: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) accept_language: Option<&'static str>,
    #[serde(flatten)]
    pub(super) call: Option<Called<'a>>,
    pub(super) status: i64,
}

/// What belongs to a call of a model alone.
#[derive(Debug, Serialize)]
pub(super) struct Called<'a> {
    pub(super) session: String,
    pub(super) turn: u16,
    pub(super) model: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model_released_at: Option<String>,
    pub(super) endpoint: &'static str,
    pub(super) n: i64,
    pub(super) temperature: f64,
    pub(super) max_tokens: i64,
    #[serde(skip_serializing_if = "none")]
    pub(super) top_logprobs: i64,
    #[serde(skip_serializing_if = "none")]
    pub(super) logit_bias_count: i64,
    #[serde(skip_serializing_if = "none")]
    pub(super) tools: i64,
    pub(super) stream: bool,
    #[serde(skip_serializing_if = "not")]
    pub(super) batch: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_format: Option<&'static str>,
    pub(super) input_tokens: i64,
    pub(super) output_tokens: i64,
    #[serde(skip_serializing_if = "none")]
    pub(super) reasoning_tokens: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "not")]
    pub(super) refused: bool,
    #[serde(skip_serializing_if = "not")]
    pub(super) rate_limited: bool,
    pub(super) latency_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) jailbreak_score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) safety_category: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) safety_score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) use_case: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) human_review: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ai_disclosure: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) phi: Option<bool>,
    pub(super) prompt_chars: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) system_prompt: Option<&'a str>,
    pub(super) prompt: &'a str,
}

fn none(n: &i64) -> bool {
    *n == 0
}

fn not(value: &bool) -> bool {
    !*value
}
