//! Where alerts go: log, webhook, chat, mail; with retries, and a file for what could not be delivered.
