//! The alert as JSON to a URL, signed.

use std::io;

use super::super::config::{Tries, WebhookConfig};
use super::super::message::Alert;
use super::super::sign::sign;
use super::{Failure, answered, client, unanswered};
use crate::time::Timestamp;

#[derive(Debug)]
pub(in super::super) struct Webhook {
    config: WebhookConfig,
    client: reqwest::Client,
    pub(super) tries: Tries,
}

impl Webhook {
    pub(super) fn new(config: WebhookConfig) -> io::Result<Webhook> {
        Ok(Webhook { tries: config.tries, client: client()?, config })
    }

    pub(super) async fn attempt(&self, alert: &Alert, now: Timestamp) -> Result<(), Failure> {
        let body = serde_json::to_vec(alert).map_err(|e| Failure::Always(e.to_string()))?;
        // Each attempt is signed anew: a receiver refuses what is old.
        let (timestamp, signature) = sign(self.config.secret.bytes(), now, &body);
        let request = self
            .client
            .post(self.config.url.clone())
            .header("content-type", "application/json")
            .header("fineprint-timestamp", timestamp)
            .header("fineprint-signature", signature)
            .header("fineprint-delivery", alert.delivery())
            .body(body);
        answered(&request.send().await.map_err(unanswered)?)
    }
}
