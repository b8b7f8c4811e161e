//! Customers: who they are, what they pay with, what their contract allows.

use serde::Serialize;

use super::client::Client;
use super::draw::Draw;
use super::world::{Country, Place};
use crate::time::Timestamp;

/// What an account is in truth, in the words of `labels_accounts.csv`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Label {
    /// An ordinary customer.
    #[default]
    Benign,
    /// An honest customer who looks like a campaign in some way.
    LookAlike,
    /// Part of a campaign.
    Adversary,
    /// An honest customer whose key was taken.
    Victim,
}

impl Label {
    /// The word in files.
    pub fn word(self) -> &'static str {
        match self {
            Label::Benign => "benign",
            Label::LookAlike => "lookalike",
            Label::Adversary => "adversary",
            Label::Victim => "victim",
        }
    }
}

/// One account of the registry.
#[derive(Debug, Clone, Default)]
pub(super) struct Account {
    pub(super) id: String,
    pub(super) org: String,
    pub(super) key: String,
    pub(super) plan: &'static str,
    pub(super) created_ms: i64,
    /// Fingerprint of the card; none on the free plan.
    pub(super) card: Option<String>,
    pub(super) bin_class: &'static str,
    pub(super) billing: Option<&'static str>,
    pub(super) email_class: &'static str,
    pub(super) verification: &'static str,
    pub(super) org_verified: bool,
    pub(super) entitlements: Vec<&'static str>,
    pub(super) country: Country,
    /// From where and with what it was opened, where that happens within the stream.
    pub(super) signup: Option<(Client, Place)>,
    pub(super) label: Label,
    /// Name of the class or of the kind of campaign.
    pub(super) family: &'static str,
    pub(super) campaign: Option<String>,
}

/// A row of `accounts.jsonl`.
#[derive(Serialize)]
struct Row<'a> {
    account: &'a str,
    org: &'a str,
    plan: &'a str,
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_fingerprint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    billing_country: Option<&'a str>,
    email_class: &'a str,
    verification: &'a str,
    org_verified: bool,
    entitlements: &'a [&'static str],
    status: &'a str,
}

impl Account {
    /// One person with a card of his own, or none on the free plan.
    pub(super) fn person(draw: &mut Draw, country: Country, start_ms: i64) -> Account {
        let plan = draw.pick(&["free", "plus", "plus", "pay_as_you_go"]);
        let card = (plan != "free").then(|| draw.name("card_", 12));
        Account {
            id: draw.name("acct_", 12),
            org: draw.name("org_", 10),
            key: draw.name("key_", 12),
            plan,
            created_ms: start_ms - 86_400_000 * (1 + draw.skewed([1.0, 160.0, 620.0, 1_400.0]) as i64),
            card,
            bin_class: draw
                .pick(&["consumer", "consumer", "consumer", "consumer", "consumer", "consumer", "prepaid", "virtual"]),
            billing: Some(country.code),
            email_class: draw.pick(&["freemail", "freemail", "freemail", "freemail", "corporate", "edu"]),
            verification: draw.pick(&["mail", "phone", "phone"]),
            country,
            ..Account::default()
        }
    }

    /// A company with a contract and a corporate card or an invoice.
    pub(super) fn company(draw: &mut Draw, country: Country, start_ms: i64) -> Account {
        Account {
            plan: draw.pick(&["pay_as_you_go", "pay_as_you_go", "scale", "enterprise"]),
            card: Some(draw.name("card_", 12)),
            bin_class: draw.pick(&["corporate", "corporate", "corporate", "consumer", "virtual"]),
            email_class: "corporate",
            verification: "business",
            org_verified: draw.chance(0.8),
            ..Account::person(draw, country, start_ms)
        }
    }

    /// The row of the registry, as JSON.
    ///
    /// # Errors
    /// Never, as all keys are texts.
    pub(super) fn row(&self) -> serde_json::Result<String> {
        serde_json::to_string(&Row {
            account: &self.id,
            org: &self.org,
            plan: self.plan,
            created: time(self.created_ms),
            payment_fingerprint: self.card.as_deref(),
            billing_country: self.billing,
            email_class: self.email_class,
            verification: self.verification,
            org_verified: self.org_verified,
            entitlements: &self.entitlements,
            status: "active",
        })
    }
}

/// A moment in milliseconds since 1970, as events say it.
pub(super) fn time(ms: i64) -> String {
    Timestamp(ms.saturating_mul(1_000_000)).to_string()
}
