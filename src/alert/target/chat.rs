//! The JSON that Slack's incoming webhooks take, and others of its shape (Mattermost, Rocket.Chat, Discord's /slack).

use std::io;

use serde_json::{Value, json};

use super::super::config::{SlackConfig, Tries};
use super::super::message::Alert;
use super::{Failure, answered, client, unanswered};

#[derive(Debug)]
pub(in super::super) struct Chat {
    config: SlackConfig,
    client: reqwest::Client,
    pub(super) tries: Tries,
}

impl Chat {
    pub(super) fn new(config: SlackConfig) -> io::Result<Chat> {
        Ok(Chat { tries: config.tries, client: client()?, config })
    }

    pub(super) async fn attempt(&self, alert: &Alert) -> Result<(), Failure> {
        let request = self.client.post(self.config.url.url().clone()).json(&message(alert));
        answered(&request.send().await.map_err(unanswered)?)
    }
}

/// Nothing in it mentions anybody, leads anywhere or is marked up, but for our own link.
fn message(alert: &Alert) -> Value {
    let mut text = escaped(&alert.subject());
    for (name, value) in alert.lines() {
        match (name, &alert.url) {
            ("Look", Some(url)) => text.push_str(&format!("\n<{}|Look at it>", escaped(url))),
            _ => text.push_str(&format!("\n{name}: {}", inert(&value))),
        }
    }
    json!({ "text": text, "mrkdwn": false, "link_names": false, "parse": "none", "unfurl_links": false, "unfurl_media": false })
}

/// What Slack wants to have escaped; with these three nothing is a mention or a link any more.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Escaped; and addresses that a client would make links of on its own are broken by a space of no width, as are names.
fn inert(text: &str) -> String {
    escaped(text).replace("://", ":\u{200b}//").replace("www.", "www\u{200b}.").replace('@', "@\u{200b}")
}
