//! The file that says which channel goes where. Every mistake names its place and what to write; secrets stand elsewhere.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use lettre::message::Mailbox;
use reqwest::Url;
use serde::Deserialize;
use serde_yaml::Value as Yaml;

use super::lane::{BACKOFF_FIRST, BACKOFF_MAX};
use super::target::TIMEOUT;
use crate::diagnostic::nearest;
use crate::hir::{Program, Verb};
use crate::time::{Duration, MINUTE_NS};

/// How often an alert is tried at most.
pub const ALERT_ATTEMPTS_MAX: u32 = 20;
const ATTEMPTS: u32 = 6;
const TIMEOUT_MAX: Duration = Duration(5 * MINUTE_NS);
/// The shortest secret of a webhook, in bytes.
const SECRET_BYTES_MIN: usize = 16;

/// Which channel goes where.
#[derive(Debug, Clone, Default)]
pub struct Channels {
    pub(super) channels: BTreeMap<String, Vec<TargetConfig>>,
    pub(super) public_url: Option<String>,
    pub(super) dead_letters: Option<PathBuf>,
    pub(super) remember: Option<PathBuf>,
}

/// Why a text says no channels.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelsError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Missing {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is not YAML, or has keys that it should not.
    #[error("{origin}: {error}")]
    Yaml {
        /// The file.
        origin: String,
        /// Where and why.
        error: String,
    },
    /// A value that cannot be used.
    #[error("{origin}: at `{at}`: {what}")]
    Value {
        /// The file.
        origin: String,
        /// The keys that lead to the place, with points between.
        at: String,
        /// What is wrong and what to write instead.
        what: String,
    },
}

/// A channel that a rule names and the configuration does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unrouted {
    /// The rule.
    pub rule: String,
    /// The channel.
    pub channel: String,
    /// The configured channel that looks most like it.
    pub meant: Option<String>,
}

impl fmt::Display for Unrouted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unrouted { rule, channel, meant } = self;
        write!(f, "rule `{rule}` alerts {channel:?}, which is no configured channel: its alerts go nowhere; ")?;
        match meant {
            Some(meant) => write!(f, "did you mean {meant:?}?"),
            None => write!(f, "add it under `channels`, `- log: {{}}` at the least"),
        }
    }
}

/// Something that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub(super) fn text(self) -> String {
        self.0
    }
}

/// How often and how long is tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tries {
    pub(super) attempts: u32,
    pub(super) timeout: Duration,
    /// The pause after the first failure.
    pub(super) backoff: Duration,
}

/// How often and how long, as it is written.
struct TriesEntry {
    attempts: Option<u32>,
    timeout: Option<String>,
    backoff: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) enum TargetConfig {
    Log,
    Webhook(WebhookConfig),
    Slack(SlackConfig),
    Mail(Box<MailConfig>),
}

#[derive(Debug, Clone)]
pub(super) struct WebhookConfig {
    pub(super) url: Url,
    pub(super) secret: Secret,
    pub(super) tries: Tries,
}

#[derive(Debug, Clone)]
pub(super) struct SlackConfig {
    pub(super) url: SecretUrl,
    pub(super) tries: Tries,
}

/// A URL that is a secret itself.
#[derive(Clone)]
pub(super) struct SecretUrl(Url);

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretUrl(…)")
    }
}

impl SecretUrl {
    pub(super) fn url(&self) -> &Url {
        &self.0
    }
}

#[derive(Debug, Clone)]
pub(super) struct MailConfig {
    pub(super) server: String,
    pub(super) port: u16,
    pub(super) tls: MailTls,
    pub(super) login: Option<(String, Secret)>,
    pub(super) from: Mailbox,
    pub(super) to: Vec<Mailbox>,
    pub(super) tries: Tries,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub(super) enum MailTls {
    /// In the clear, to this machine alone.
    None,
    #[default]
    Starttls,
    Tls,
}

impl TargetConfig {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            TargetConfig::Log => "log",
            TargetConfig::Webhook(_) => "webhook",
            TargetConfig::Slack(_) => "slack",
            TargetConfig::Mail(_) => "mail",
        }
    }
}

// ── as it is written ──

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    public_url: Option<String>,
    dead_letters: Option<PathBuf>,
    remember: Option<PathBuf>,
    channels: BTreeMap<String, Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    log: Option<LogEntry>,
    webhook: Option<WebhookEntry>,
    slack: Option<SlackEntry>,
    mail: Option<MailEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogEntry {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookEntry {
    url: String,
    secret: Yaml,
    attempts: Option<u32>,
    timeout: Option<String>,
    backoff: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SlackEntry {
    url: Yaml,
    attempts: Option<u32>,
    timeout: Option<String>,
    backoff: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MailEntry {
    server: String,
    port: Option<u16>,
    #[serde(default)]
    tls: MailTls,
    user: Option<String>,
    password: Option<Yaml>,
    from: String,
    to: Vec<String>,
    attempts: Option<u32>,
    timeout: Option<String>,
    backoff: Option<String>,
}

impl Channels {
    /// Reads a configuration file; `env` gives variables of the environment. Files of secrets, dead letters and what is
    /// remembered are looked up from the folder of the file.
    ///
    /// # Errors
    /// Says what is wrong, where, and what to write instead.
    pub fn open(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Channels, ChannelsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ChannelsError::Missing { path: path.display().to_string(), source })?;
        Channels::parse(&text, path, env)
    }

    /// Reads the text of a configuration file that lies at `path`.
    ///
    /// # Errors
    /// As [`Channels::open`].
    pub fn parse(text: &str, path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Channels, ChannelsError> {
        let origin = path.display().to_string();
        let file: File = serde_yaml::from_str(text)
            .map_err(|error| ChannelsError::Yaml { origin: origin.clone(), error: error.to_string() })?;
        let reader = Reader { origin, folder: path.parent().unwrap_or(Path::new("")), env };
        reader.channels(file)
    }

    /// Names of the channels.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.channels.keys().map(String::as_str)
    }

    /// The channels that rules name and nobody has configured: to be told when rules are loaded.
    pub fn unrouted(&self, program: &Program) -> Vec<Unrouted> {
        let mut found = Vec::new();
        for rule in &program.rules {
            for action in &rule.actions {
                let Verb::Alert(channel) = &action.verb else { continue };
                if !self.channels.contains_key(channel) {
                    let meant = nearest(channel, self.names()).map(str::to_owned);
                    found.push(Unrouted { rule: rule.name.to_string(), channel: channel.clone(), meant });
                }
            }
        }
        found
    }
}

struct Reader<'r> {
    origin: String,
    folder: &'r Path,
    env: &'r dyn Fn(&str) -> Option<String>,
}

impl Reader<'_> {
    fn wrong<T>(&self, at: &str, what: impl Into<String>) -> Result<T, ChannelsError> {
        Err(ChannelsError::Value { origin: self.origin.clone(), at: at.to_owned(), what: what.into() })
    }

    fn channels(&self, file: File) -> Result<Channels, ChannelsError> {
        let mut channels = Channels {
            dead_letters: file.dead_letters.map(|path| self.folder.join(path)),
            remember: file.remember.map(|path| self.folder.join(path)),
            ..Channels::default()
        };
        if let Some(url) = &file.public_url {
            channels.public_url = Some(self.url("public_url", url)?.as_str().trim_end_matches('/').to_owned());
        }
        for (name, entries) in file.channels {
            if entries.is_empty() {
                return self
                    .wrong(&format!("channels.{name}"), "a channel goes somewhere: write `- log: {}` at the least");
            }
            let mut targets = Vec::new();
            for (i, entry) in entries.into_iter().enumerate() {
                targets.push(self.entry(&format!("channels.{name}[{i}]"), entry)?);
            }
            let fails = targets.iter().any(|target| !matches!(target, TargetConfig::Log));
            if fails && channels.dead_letters.is_none() {
                let what = "write `dead_letters: FILE`: there goes what could not be delivered";
                return self.wrong("the file", what);
            }
            channels.channels.insert(name, targets);
        }
        Ok(channels)
    }

    fn entry(&self, at: &str, entry: Entry) -> Result<TargetConfig, ChannelsError> {
        match entry {
            Entry { log: Some(LogEntry {}), webhook: None, slack: None, mail: None } => Ok(TargetConfig::Log),
            Entry { log: None, webhook: Some(webhook), slack: None, mail: None } => {
                let at = format!("{at}.webhook");
                let secret = self.secret(&format!("{at}.secret"), &webhook.secret)?;
                if secret.0.len() < SECRET_BYTES_MIN {
                    let what = format!("the secret has fewer than {SECRET_BYTES_MIN} bytes: take one from `openssl rand -hex 32`");
                    return self.wrong(&format!("{at}.secret"), what);
                }
                Ok(TargetConfig::Webhook(WebhookConfig {
                    url: self.url(&format!("{at}.url"), &webhook.url)?,
                    secret,
                    tries: self.tries(&at, TriesEntry { attempts: webhook.attempts, timeout: webhook.timeout, backoff: webhook.backoff })?,
                }))
            }
            Entry { log: None, webhook: None, slack: Some(slack), mail: None } => {
                let at = format!("{at}.slack");
                let secret = self.secret(&format!("{at}.url"), &slack.url)?;
                // The URL is not repeated in the message.
                let url = Url::parse(&secret.0).ok().filter(is_http);
                let Some(url) = url else {
                    return self.wrong(&format!("{at}.url"), "what is found there is no URL: it begins with `https://`");
                };
                let tries = self.tries(&at, TriesEntry { attempts: slack.attempts, timeout: slack.timeout, backoff: slack.backoff })?;
                Ok(TargetConfig::Slack(SlackConfig { url: SecretUrl(url), tries }))
            }
            Entry { log: None, webhook: None, slack: None, mail: Some(mail) } => {
                self.mail(&format!("{at}.mail"), mail).map(|mail| TargetConfig::Mail(Box::new(mail)))
            }
            _ => self.wrong(at, "expected one of `log`, `webhook`, `slack`, `mail`; each target is an item of its own, and the log is written `- log: {}`"),
        }
    }

    fn mail(&self, at: &str, mail: MailEntry) -> Result<MailConfig, ChannelsError> {
        let here = |key: &str| format!("{at}.{key}");
        let mailbox = |key: &str, text: &str| match text.parse::<Mailbox>() {
            Ok(mailbox) => Ok(mailbox),
            Err(_) => self.wrong(
                &here(key),
                format!("`{text}` is no mail address: write `ann@example.com`, or `Ann <ann@example.com>`"),
            ),
        };
        let local = matches!(mail.server.as_str(), "localhost" | "127.0.0.1" | "::1");
        if mail.server.is_empty() || mail.server.contains([':', '/', ' ']) && !local {
            return self.wrong(
                &here("server"),
                "expected the name of a host, such as `smtp.example.com`; the port goes to `port`",
            );
        }
        if mail.tls == MailTls::None && !local {
            let what =
                "mail goes in the clear to localhost only: write `tls: starttls` (port 587) or `tls: tls` (port 465)";
            return self.wrong(&here("tls"), what);
        }
        let login = match (mail.user, &mail.password) {
            (None, None) => None,
            (Some(user), Some(password)) => Some((user, self.secret(&here("password"), password)?)),
            _ => return self.wrong(at, "`user` and `password` go together: write both, or none"),
        };
        if mail.to.is_empty() {
            return self.wrong(&here("to"), "nobody would get the mail: write a list of addresses");
        }
        let usual = match mail.tls {
            MailTls::None => 25,
            MailTls::Starttls => 587,
            MailTls::Tls => 465,
        };
        Ok(MailConfig {
            port: mail.port.unwrap_or(usual),
            tls: mail.tls,
            login,
            from: mailbox("from", &mail.from)?,
            to: mail.to.iter().map(|to| mailbox("to", to)).collect::<Result<_, _>>()?,
            tries: self
                .tries(at, TriesEntry { attempts: mail.attempts, timeout: mail.timeout, backoff: mail.backoff })?,
            server: mail.server,
        })
    }

    fn url(&self, at: &str, text: &str) -> Result<Url, ChannelsError> {
        match Url::parse(text) {
            Ok(url) if is_http(&url) => Ok(url),
            _ => self.wrong(at, format!("`{text}` is no URL: write one that begins with `https://`")),
        }
    }

    fn tries(&self, at: &str, entry: TriesEntry) -> Result<Tries, ChannelsError> {
        let attempts = entry.attempts.unwrap_or(ATTEMPTS);
        if !(1..=ALERT_ATTEMPTS_MAX).contains(&attempts) {
            return self.wrong(&format!("{at}.attempts"), format!("expected a number from 1 to {ALERT_ATTEMPTS_MAX}"));
        }
        let span = |key: &str, text: Option<String>, usual: Duration, most: Duration| match text {
            None => Ok(usual),
            Some(text) => match Duration::parse(&text).filter(|d| d.0 > 0 && *d <= most) {
                Some(span) => Ok(span),
                None => self.wrong(
                    &format!("{at}.{key}"),
                    format!("`{text}` is no time of up to {most}: write it with its unit, such as `10s`"),
                ),
            },
        };
        Ok(Tries {
            attempts,
            timeout: span("timeout", entry.timeout, TIMEOUT, TIMEOUT_MAX)?,
            backoff: span("backoff", entry.backoff, BACKOFF_FIRST, BACKOFF_MAX)?,
        })
    }

    /// `{env: NAME}` or `{file: PATH}`; of a file without the white space around what it holds.
    fn secret(&self, at: &str, yaml: &Yaml) -> Result<Secret, ChannelsError> {
        let entry = yaml.as_mapping().filter(|entries| entries.len() == 1).and_then(|entries| entries.iter().next());
        let entry = entry.and_then(|(key, value)| Some((key.as_str()?, value.as_str()?)));
        let found = match entry {
            Some(("env", name)) => match (self.env)(name) {
                Some(found) => found,
                None => {
                    return self.wrong(
                        at,
                        format!("the environment has no variable `{name}`: set it, or write `{{file: PATH}}`"),
                    );
                }
            },
            Some(("file", path)) => match std::fs::read_to_string(self.folder.join(path)) {
                Ok(found) => found,
                Err(error) => return self.wrong(at, format!("`{path}` cannot be read: {error}")),
            },
            _ => {
                let what = "secrets do not stand in the configuration: write `{env: NAME}` or `{file: PATH}`";
                return self.wrong(at, what);
            }
        };
        match found.trim() {
            "" => self.wrong(at, "what is found there is empty"),
            found => Ok(Secret(found.to_owned())),
        }
    }
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}
