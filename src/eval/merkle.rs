//! The Merkle tree over contributing events: RFC 6962, section 2.1, with SHA-256. Leaves come in order, the tree keeps one
//! hash per full subtree.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A hash of the tree.
pub(crate) type Hash = [u8; 32];

/// The right edge of a growing tree.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tree {
    /// Hashes of full subtrees with their heights, highest first.
    edge: Vec<(u8, Hash)>,
    count: u64,
}

/// The leaf of an event: `SHA-256(0x00 || id || 0x00 || content hash)`.
pub(crate) fn leaf(id: &str, content: u128) -> Hash {
    let mut h = Sha256::new();
    h.update([0u8]);
    h.update(id.as_bytes());
    h.update([0u8]);
    h.update(content.to_be_bytes());
    h.finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    let mut h = Sha256::new();
    h.update([1u8]);
    h.update(left);
    h.update(right);
    h.finalize().into()
}

impl Tree {
    pub(crate) fn push(&mut self, leaf: Hash) {
        let mut top = (0u8, leaf);
        while let Some((height, left)) = self.edge.last().copied().filter(|(h, _)| *h == top.0) {
            self.edge.pop();
            top = (height + 1, node(&left, &top.1));
        }
        self.edge.push(top);
        self.count += 1;
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Lower-case hex; the empty tree is the hash of nothing.
    pub(crate) fn root(&self) -> String {
        let mut parts = self.edge.iter().rev().map(|(_, h)| *h);
        let root = match parts.next() {
            None => Sha256::digest([]).into(),
            Some(last) => parts.fold(last, |right, left| node(&left, &right)),
        };
        hex::encode(root)
    }
}
