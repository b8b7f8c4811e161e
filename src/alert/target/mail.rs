//! A plain mail by SMTP.

use std::io;
use std::time::{Duration as Span, SystemTime};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::AsyncSmtpTransport;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncTransport, Tokio1Executor};

use super::super::config::{MailConfig, MailTls, Tries};
use super::super::message::{Alert, plain, token};
use super::Failure;
use crate::time::{SECOND_NS, Timestamp};

#[derive(Debug)]
pub(in super::super) struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    pub(super) tries: Tries,
}

impl Mail {
    pub(super) fn new(config: MailConfig) -> io::Result<Mail> {
        let failed = |error: lettre::transport::smtp::Error| io::Error::other(error.to_string());
        let builder = match config.tls {
            MailTls::None => AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.server),
            MailTls::Starttls => {
                AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(&config.server).map_err(failed)?
            }
            MailTls::Tls => AsyncSmtpTransport::<Tokio1Executor>::relay(&config.server).map_err(failed)?,
        };
        let timeout = Span::from_nanos(config.tries.timeout.0.unsigned_abs());
        let mut builder = builder.port(config.port).timeout(Some(timeout));
        if let Some((user, password)) = config.login {
            builder = builder.credentials(Credentials::new(user, password.text()));
        }
        Ok(Mail { transport: builder.build(), from: config.from, to: config.to, tries: config.tries })
    }

    pub(super) async fn attempt(&self, alert: &Alert, now: Timestamp) -> Result<(), Failure> {
        let message = self.message(alert, now).map_err(|error| Failure::Always(error.to_string()))?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let why = plain(&error.to_string(), 300);
                // 5yz: the server will never take it. Everything else may be different later.
                Err(if error.is_permanent() { Failure::Always(why) } else { Failure::Now(why, None) })
            }
        }
    }

    fn message(&self, alert: &Alert, now: Timestamp) -> Result<Message, lettre::error::Error> {
        let seconds = u64::try_from(now.0.div_euclid(SECOND_NS)).unwrap_or(0);
        let id = format!("<{}@{}>", token(&alert.delivery()), self.from.email.domain());
        let mut builder = Message::builder()
            .from(self.from.clone())
            .subject(format!("[fineprint] {}", alert.subject()))
            .date(SystemTime::UNIX_EPOCH + Span::from_secs(seconds))
            .message_id(Some(id))
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        let lines = alert.lines().into_iter().map(|(name, text)| format!("{name}: {text}\r\n"));
        builder.body(lines.collect::<String>())
    }
}
