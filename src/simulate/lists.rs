//! The lists that stand beside the events, under the file names of the shipped rules.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::draw::Draw;
use super::grammar::GRAMMAR;
use super::world::{UNSUPPORTED, cloud_list, vpn_list};
use crate::template::{FingerprintKey, Fingerprinter, Scratch, Strictness, to_text};

/// What workloads put on lists.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// Networks from which a customer said that its own gateway sends.
    pub(super) gateways: BTreeSet<String>,
    /// Organisations with a written permission, and which.
    pub(super) permitted: BTreeSet<(String, &'static str)>,
    /// Texts that many unrelated people use, such as defaults of frameworks.
    pub(super) public_texts: BTreeSet<String>,
}

impl Lists {
    /// Adds every text of a rule of the grammar whose texts are public.
    pub(super) fn publish(&mut self, rule: &str) {
        // Rules of public texts have no slots, so that a few tries show all of them.
        let mut draw = Draw::of(0, rule, &[]);
        for _ in 0..64 {
            self.public_texts.insert(GRAMMAR.text(rule, &mut draw));
        }
    }

    pub(super) fn files(&self) -> Vec<(&'static str, String)> {
        let mut permitted = String::from("org,entitlement\n");
        for (org, entitlement) in &self.permitted {
            let _ = writeln!(permitted, "{org},{entitlement}");
        }
        let lines = |values: &mut dyn Iterator<Item = &str>| values.fold(String::new(), |all, line| all + line + "\n");
        // A list must not be empty of everything: a reserved network that nobody uses stands for none.
        let gateways = match self.gateways.is_empty() {
            true => "192.0.2.0/24\n".to_string(),
            false => lines(&mut self.gateways.iter().map(String::as_str)),
        };
        vec![
            ("vpn_cidrs.txt", vpn_list()),
            ("datacenter_cidrs.csv", cloud_list()),
            ("unsupported_countries.txt", lines(&mut UNSUPPORTED.iter().map(|c| c.code))),
            ("declared_gateways.txt", gateways),
            ("permitted_orgs.csv", permitted),
            ("public-templates.csv", self.public_templates()),
        ]
    }

    /// As `fineprint templates` writes them, under the public key.
    fn public_templates(&self) -> String {
        let fingerprinter = Fingerprinter::new(FingerprintKey::PUBLIC);
        let mut scratch = Scratch::default();
        let mut found = BTreeSet::new();
        for text in &self.public_texts {
            for strictness in Strictness::ALL {
                let made = fingerprinter.fingerprints(strictness, text, &mut scratch);
                found.extend(made.as_slice().iter().map(|f| (strictness.words(), *f)));
                found
                    .extend(fingerprinter.every_shingle(strictness, text).into_iter().map(|f| (strictness.words(), f)));
            }
        }
        let mut out = format!("{}\nfingerprint,words,prompts\n", fingerprinter.key().named());
        for (words, fingerprint) in found {
            let _ = writeln!(out, "{},{words},1", to_text(fingerprint));
        }
        out
    }
}
